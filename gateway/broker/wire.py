"""The form of messages between nodes: one byte for its version, then msgpack. Plain data, never code.

A message of a group is `[node, link, [[message, exclude, key], ...]]`, with one publication where the group
keeps history, or none for some that may be lost; offset and epoch come beside it, in the engine's own form.
One to all nodes is `[node, link, previous, number, note]`, where `null` for the note says that some of what
the node has sent was lost, and `true` that the node lives. `link` counts the links of a node, `number` what
it sends to all nodes; whoever has not had `previous`, or a later one, lacks something. A text travels as
msgpack's text, a binary message as its bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from gateway.broker.contract import Publication
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.broker.contract import Note
    from gateway.broker.link import Place

__all__ = ["BEAT", "LOSS", "VERSION", "Arrived", "Notice", "Wire", "WireError"]

VERSION: Final = 2
"""Version of the form. Nodes of another one drop what they get, so that a change is told by a new number."""

_VERSION_BYTE: Final = bytes([VERSION])
_NONE: Final = b"\x90"  # msgpack: an array of none
_ONE: Final = b"\x91"  # msgpack: an array of one
_THREE: Final = b"\x93"
_FIVE: Final = b"\x95"
_NUMBER: Final = Struct(">BI")  # msgpack: a number of four bytes, always as long
_FOUR_BYTES: Final = 0xCE

LOSS: Final = b"\xc0"
"""Of a notice: that some of what its node has sent was lost."""
BEAT: Final = b"\xc3"
"""Of a notice: nothing but that its node lives."""


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


_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class _Publications(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    node: str
    link: _Count
    publications: list[_Publication]


class Notice(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A message to all nodes.

    Args:
        node: Who sent it.
        link: The number of the node's link that it went through.
        previous: The number of the notice that whoever gets this one must have had, or one behind it; 0 for
            the node's first.
        number: Its own, above those of all before it.
        note: The note; `None` says that some of what the node has sent was lost, `True` that it lives.
    """

    node: str
    link: _Count
    previous: _Count
    number: _Count
    note: dict[str, Any] | bool | None


class Arrived(NamedTuple):
    """A message of a group.

    Args:
        node: Who sent it.
        link: The number of the node's link that it went through.
        publications: What it holds, in order.
    """

    node: str
    link: int
    publications: list[Publication]


Form = TypeVar("Form", bound=msgspec.Struct)

_ENCODER: Final = msgspec.msgpack.Encoder()
_PUBLICATIONS: Final = msgspec.msgpack.Decoder(_Publications)
_NOTICE: Final = msgspec.msgpack.Decoder(Notice)


class Wire:
    """The writer and reader of a node's messages.

    Args:
        node: The node's name.
        most_bytes: Most bytes of a message that is read.
    """

    def __init__(self, node: str, most_bytes: int) -> None:
        self._node = _ENCODER.encode(node)
        self._most_bytes = most_bytes
        self._head = self._notice_head = b""
        self.begin_link(0)
        self.overhead = len(self._head) + len(_ENCODER.encode([None] * 65_536)) - 65_536
        """Most bytes of a message besides the packed publications in it."""
        self.notice_overhead = len(self._notice_head) + 2 * _NUMBER.size
        """Bytes of a notice besides the packed note in it."""

    # Writing.

    def begin_link(self, number: int) -> None:
        """Write for another link from now on; its number is above those of all before it."""
        node_and_link = self._node + _number(number)
        self._head = _VERSION_BYTE + _THREE + node_and_link
        self._notice_head = _VERSION_BYTE + _FIVE + node_and_link

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

    def pack_note(self, note: Note) -> bytes:
        """Pack a note, for `notice`.

        Raises:
            ValueError: If it is no plain data.
        """
        plain = dict(note)
        try:
            if _is_plain(plain):
                return _ENCODER.encode(plain)
        except (OverflowError, RecursionError) as exc:
            raise ValueError(f"a note cannot travel: {exc}") from None
        raise ValueError("a note holds texts, numbers, booleans, None, and lists and mappings of these")

    def notice(self, previous: int, number: int, packed: bytes) -> bytes:
        """Make a message to all nodes of a packed note, `LOSS` or `BEAT`; numbers as those of `Notice`."""
        return self._notice_head + _number(previous) + _number(number) + packed

    # Reading.

    def is_own(self, data: bytes) -> bool:
        """Tell whether this node has written a message, through whichever link."""
        return data.startswith(self._node, 2) and data.startswith(_VERSION_BYTE)

    def is_beat(self, data: bytes) -> bool:
        """Tell whether a message that this node has written is a beat."""
        return data.endswith(BEAT) and len(data) == self.notice_overhead + len(BEAT)

    def read_publications(self, data: bytes, group: str) -> Arrived:
        """Take a message of a group apart.

        Raises:
            WireError: If it is none.
        """
        found = self._read(_PUBLICATIONS, data)
        publications = []
        for one in found.publications:
            if type(one.message) is not str and type(one.message) is not bytes:
                raise WireError("junk")
            publications.append(Publication(group, one.message, one.exclude, one.key))
        return Arrived(found.node, found.link, publications)

    def read_kept(self, data: bytes, group: str, place: Place) -> Publication:
        """Take a message apart that the engine keeps: it holds one publication, or stands for lost ones.

        Raises:
            WireError: If it does not.
        """
        publications = self.read_publications(data, group).publications
        if len(publications) > 1 or place.offset < 1:
            raise WireError("junk")
        if not publications:
            return Publication(group, "", None, None, *place, lost=True)
        _, message, exclude, key, *_ = publications[0]
        return Publication(group, message, exclude, key, *place)

    def read_notice(self, data: bytes) -> Notice:
        """Take a message to all nodes apart.

        Raises:
            WireError: If it is none.
        """
        notice = self._read(_NOTICE, data)
        try:
            plain = notice.note is not False and _is_plain(notice.note)
        except RecursionError:
            plain = False
        if not plain or notice.previous >= notice.number:
            raise WireError("junk")
        return notice

    def _read(self, decoder: msgspec.msgpack.Decoder[Form], data: bytes) -> Form:
        if len(data) > self._most_bytes:
            raise WireError("too_big")
        if not data.startswith(_VERSION_BYTE):
            raise WireError("version" if data else "junk")
        try:
            return decoder.decode(memoryview(data)[1:])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise WireError("junk") from None


def _number(number: int) -> bytes:
    return _NUMBER.pack(_FOUR_BYTES, number)


def _is_plain(value: object) -> bool:
    """Tell whether a value is plain data; what msgpack has beyond it, such as times, is none."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in {str, int, float, bool}
