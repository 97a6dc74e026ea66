"""Envelopes: what the clients of a route with `envelope: json` get, each a JSON object in a text message."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.core.groups import EVERYONE, user_of

if TYPE_CHECKING:
    from gateway.broker.contract import Publication

__all__ = ["Envelope", "enveloped", "gap_envelope", "token_envelope"]

_ENCODER: Final = msgspec.json.Encoder()


class Envelope:
    """The envelope of one publication, written once but for its end: the token, which not all share.

    It names where the publication was published to, its place in the group's history if it has one, and the
    message: `data` for text, `data_base64` for binary.

    Args:
        publication: The publication.
    """

    __slots__ = ("_open",)

    def __init__(self, publication: Publication) -> None:
        group = publication.group
        content: dict[str, Any]
        if group == EVERYONE:
            content = {"everyone": True}
        elif (user := user_of(group)) is not None:
            content = {"user": user}
        else:
            content = {"group": group}
        if publication.offset:
            content["offset"] = publication.offset
            content["previous"] = publication.previous
            content["epoch"] = publication.epoch
        _add_message(content, publication.message)
        self._open = _ENCODER.encode(content)[:-1].decode()

    def text(self, token: str | None) -> str:
        """Give the envelope with a token to resume with; `None` for none."""
        # A token has no character that JSON would escape.
        return f'{self._open},"resume":"{token}"}}' if token is not None else f"{self._open}}}"


def enveloped(message: str | bytes | bytearray | memoryview) -> str:
    """Put a message into an envelope that was sent to one connection alone."""
    content: dict[str, Any] = {}
    _add_message(content, message)
    return _encode(content)


def token_envelope(token: str | None, *, recovered: bool | None = None, missed: int | None = None) -> str:
    """Make the envelope that holds no message but a token, or the answer to one.

    Args:
        token: The token; `None` for none.
        recovered: Whether the token that the client came with was good; `None` if it came with none.
        missed: How many envelopes follow with what the client has missed; `None` if it is not recovered.
    """
    content: dict[str, Any] = {} if recovered is None else {"recovered": recovered}
    if missed is not None:
        content["missed"] = missed
    if token is not None:
        content["resume"] = token
    return _encode(content)


def gap_envelope(group: str | None, token: str | None) -> str:
    """Make the envelope that says that publications may be missing.

    Args:
        group: Of which group; `None` for any that keeps no history.
        token: What to resume with from here on; `None` for none.
    """
    content: dict[str, Any] = {"gap": True}
    if group is not None:
        content["group"] = group
    if token is not None:
        content["resume"] = token
    return _encode(content)


def _add_message(content: dict[str, Any], message: str | bytes | bytearray | memoryview) -> None:
    if isinstance(message, str):
        content["data"] = message
    else:
        content["data_base64"] = b64encode(message).decode()


def _encode(content: dict[str, Any]) -> str:
    return _ENCODER.encode(content).decode()
