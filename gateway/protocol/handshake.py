"""The opening handshake's own checks and its answer (RFC 6455 section 4.2), without I/O."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

from websockets.utils import accept_key

from gateway.protocol.refusals import refuse
from gateway.protocol.target import parse_authority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.protocol.head import RequestHead

__all__ = ["check_handshake", "choose_subprotocol", "encode_acceptance", "wants_websocket"]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_KEY_BYTES: Final = 16
_ASCII_FIELDS: Final = (
    "host",
    "origin",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)


def wants_websocket(head: RequestHead) -> bool:
    """Tell whether a request asks for the WebSocket protocol, rightly or not."""
    return head.fields.get("upgrade") == ["websocket"] or "websocket" in head.tokens("upgrade")


def check_handshake(head: RequestHead) -> str:
    """Judge a request to a WebSocket route; give the value for Sec-WebSocket-Accept.

    Raises:
        Refused: With the first rule that it breaks, in the order of RFC 6455 section 4.2.1.
    """
    fields = head.fields
    if head.method != "GET":
        raise refuse("method_not_allowed")
    if head.version != "1.1":
        raise refuse("http_version", f"HTTP/{head.version}")
    if len(fields.get("host", ())) != 1 or parse_authority(fields["host"][0]) is None:
        raise refuse("bad_host")
    if not head.raw.isascii() and not all(
        value.isascii() for name in _ASCII_FIELDS for value in fields.get(name, ())
    ):
        raise refuse("malformed_request", "non-ASCII header field")
    if "transfer-encoding" in fields or any(value != "0" for value in fields.get("content-length", ())):
        raise refuse("body_not_allowed")
    if not wants_websocket(head):
        raise refuse("upgrade_required")
    if fields.get("connection") != ["Upgrade"] and "upgrade" not in head.tokens("connection"):
        raise refuse("bad_connection")
    if fields.get("sec-websocket-version") != ["13"]:
        raise refuse("unsupported_version")
    return accept_key(_checked_key(fields.get("sec-websocket-key", [])))


def _checked_key(values: list[str]) -> str:
    if len(values) != 1:
        raise refuse("bad_key", f"{len(values)} keys")
    try:
        decoded = binascii.a2b_base64(values[0], strict_mode=True)
    except (binascii.Error, ValueError):
        raise refuse("bad_key", "not base64") from None
    if len(decoded) != _KEY_BYTES:
        raise refuse("bad_key", f"{len(decoded)} bytes, not {_KEY_BYTES}")
    return values[0]


def choose_subprotocol(head: RequestHead, supported: Sequence[str], *, required: bool) -> str | None:
    """Choose the first of the route's subprotocols that the client offers (RFC 6455 section 4.2.2).

    Args:
        head: The request.
        supported: The route's subprotocols, the most wanted first.
        required: Whether the client has to offer one of them.

    Raises:
        Refused: `unknown_subprotocol`.
    """
    if not supported and not required:
        return None  # a route without subprotocols does not look at the offer, however long it is
    values = head.fields.get("sec-websocket-protocol", ())
    offered = {
        name for value in values for part in value.split(",") if _TOKEN.fullmatch(name := part.strip(" \t"))
    }
    for name in supported:
        if name in offered:
            return name
    if required:
        raise refuse("unknown_subprotocol")
    return None


def encode_acceptance(accept: str, subprotocol: str | None, extensions: str | None = None) -> bytes:
    """Give the 101 response (RFC 6455 section 4.2.2)."""
    extension = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    protocol = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{protocol}{extension}\r\n"
    ).encode()
