"""The form of messages between nodes: one byte for its version, then msgpack. Plain data, never code.

A message of a group is `[node, [[message, exclude, key], ...]]`, with one publication where the group keeps
history, or none for some that may be lost; offset and epoch come beside it, in the engine's own form. One to
all nodes is `[node, note]`, where `null` for the note says that some of the node's publications were lost. A
text travels as msgpack's text, a binary message as its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from gateway.broker.contract import Publication
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.broker.contract import Note
    from gateway.broker.link import Place

__all__ = ["VERSION", "Wire", "WireError"]

VERSION: Final = 1
"""Version of the form. Nodes of another one drop what they get, so that a change is told by a new number."""

_VERSION_BYTE: Final = bytes([VERSION])
_NONE: Final = b"\x90"  # msgpack: an array of none
_ONE: Final = b"\x91"  # msgpack: an array of one
_PAIR: Final = b"\x92"


class WireError(GatewayError):
    """A message that is thrown away.

    Args:
        reason: `junk`, `too_big` or `version`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"message between nodes dropped: {reason}")
        self.reason = reason


class _Publication(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    message: Any  # a union of text and bytes is beyond msgspec: looked at below
    exclude: str | None
    key: str | None


class _Publications(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    node: str
    publications: list[_Publication]


class _Notice(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    node: str
    note: dict[str, Any] | None


Form = TypeVar("Form", bound=msgspec.Struct)

_ENCODER: Final = msgspec.msgpack.Encoder()
_PUBLICATIONS: Final = msgspec.msgpack.Decoder(_Publications)
_NOTICE: Final = msgspec.msgpack.Decoder(_Notice)


class Wire:
    """The writer and reader of a node's messages.

    Args:
        node: The node's name.
        most_bytes: Most bytes of a message that is read.
    """

    def __init__(self, node: str, most_bytes: int) -> None:
        self._head = _VERSION_BYTE + _PAIR + _ENCODER.encode(node)
        self._most_bytes = most_bytes
        self.overhead = len(self._head) + len(_ENCODER.encode([None] * 65_536)) - 65_536
        """Most bytes of a message besides the packed publications in it."""

    # Writing.

    def pack(self, publication: Publication) -> bytes:
        """Pack one publication, without its group, for `publications`.

        Raises:
            ValueError: If its text is not Unicode: it holds half of a pair.
        """
        return _ENCODER.encode(_Publication(publication.message, publication.exclude, publication.key))

    def publications(self, packed: Sequence[bytes]) -> bytes:
        """Make a message of packed publications of one group."""
        return self._head + _ENCODER.encode([msgspec.Raw(one) for one in packed])

    def publication(self, packed: bytes) -> bytes:
        """Make a message of one packed publication."""
        return self._head + _ONE + packed

    def lost(self) -> bytes:
        """Make a message to be kept in place of publications of which it is not known whether they are."""
        return self._head + _NONE

    def note(self, note: Note) -> bytes:
        """Make a message of a note.

        Raises:
            ValueError: If it is no plain data.
        """
        plain = dict(note)
        try:
            if _is_plain(plain):
                return self._head + _ENCODER.encode(plain)
        except (OverflowError, RecursionError) as exc:
            raise ValueError(f"a note cannot travel: {exc}") from None
        raise ValueError("a note holds texts, numbers, booleans, None, and lists and mappings of these")

    def loss(self) -> bytes:
        """Make the message that tells other nodes of publications that were lost to them."""
        return self._head + _ENCODER.encode(None)

    # Reading.

    def is_own(self, data: bytes) -> bool:
        """Tell whether this node has written a message."""
        return data.startswith(self._head)

    def read_publications(self, data: bytes, group: str) -> list[Publication]:
        """Take a message of a group apart.

        Raises:
            WireError: If it is none.
        """
        found = self._read(_PUBLICATIONS, data).publications
        publications = []
        for one in found:
            if type(one.message) is not str and type(one.message) is not bytes:
                raise WireError("junk")
            publications.append(Publication(group, one.message, one.exclude, one.key))
        return publications

    def read_kept(self, data: bytes, group: str, place: Place) -> Publication:
        """Take a message apart that the engine keeps: it holds one publication, or stands for lost ones.

        Raises:
            WireError: If it does not.
        """
        publications = self.read_publications(data, group)
        if len(publications) > 1 or place.offset < 1:
            raise WireError("junk")
        if not publications:
            return Publication(group, "", None, None, *place, lost=True)
        _, message, exclude, key, *_ = publications[0]
        return Publication(group, message, exclude, key, *place)

    def read_notice(self, data: bytes) -> Note | None:
        """Take a message to all nodes apart; `None` says that publications of its node were lost.

        Raises:
            WireError: If it is none.
        """
        note = self._read(_NOTICE, data).note
        try:
            plain = note is None or _is_plain(note)
        except RecursionError:
            plain = False
        if not plain:
            raise WireError("junk")
        return note

    def _read(self, decoder: msgspec.msgpack.Decoder[Form], data: bytes) -> Form:
        if len(data) > self._most_bytes:
            raise WireError("too_big")
        if not data.startswith(_VERSION_BYTE):
            raise WireError("version" if data else "junk")
        try:
            return decoder.decode(memoryview(data)[1:])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise WireError("junk") from None


def _is_plain(value: object) -> bool:
    """Tell whether a value is plain data; what msgpack has beyond it, such as times, is none."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in {str, int, float, bool}
