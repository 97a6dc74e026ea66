"""What a refused opening handshake is answered with: one table from the reason to the HTTP answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from math import ceil
from typing import Final

from gateway.errors import GatewayError

__all__ = ["REFUSALS", "Refusal", "Refused", "refuse"]

_ERROR: Final = re.compile(r"[a-z][a-z0-9_]*")
_FIELD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
# What frames the body is the answer's own business.
_FRAMING_FIELDS: Final = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 101.

    Args:
        status: HTTP status, 400 to 599; never 5xx for the client's fault.
        error: A stable code for programs, in snake case.
        message: One generic line for people: no input is echoed in it.
        headers: Further header fields of the answer, in ASCII.

    Raises:
        ValueError: If it could not be put on the wire. A plugin's mistake shows where it is made, and not
            when the client waits for the answer.
    """

    status: int
    error: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:  # noqa: PLR2004 - RFC 9110 sections 15.5 and 15.6
            raise ValueError(f"refusal has status {self.status}, not 400 to 599")
        if not _ERROR.fullmatch(self.error):
            raise ValueError(f"refusal's error is not in snake case: {self.error!r}")
        for name, value in self.headers:
            if not _FIELD.fullmatch(f"{name}: {value}") or name.lower() in _FRAMING_FIELDS:
                raise ValueError(f"refusal has a header field that it cannot have: {name!r}")

    def to_bytes(self) -> bytes:
        """Give the whole HTTP/1.1 response; the connection closes after it (RFC 9112 section 9.6)."""
        body = json.dumps({"error": self.error, "message": self.message}).encode()
        lines = [
            f"HTTP/1.1 {self.status} {_phrase(self.status)}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        if not any(name.lower() == "connection" for name, _ in self.headers):
            lines.append("Connection: close")
        return "\r\n".join((*lines, "", "")).encode() + body


def _phrase(status: int) -> str:
    """Give the reason phrase; it may be empty (RFC 9112 section 4)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


class Refused(GatewayError):
    """An opening handshake that ends with a refusal.

    Args:
        refusal: The answer for the client.
        detail: What the log says besides; never holds a credential.
        limit: The limit that was passed, where the error does not say which one; empty where it does.
    """

    def __init__(self, refusal: Refusal, detail: str = "", limit: str = "") -> None:
        super().__init__(f"{refusal.error}: {detail or refusal.message}")
        self.refusal = refusal
        self.detail = detail
        self.limit = limit


_UPGRADE: Final = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade, close"),
    ("Sec-WebSocket-Version", "13"),
)

REFUSALS: Final[dict[str, Refusal]] = {
    refusal.error: refusal
    for refusal in (
        Refusal(405, "method_not_allowed", "a WebSocket opens with GET", (("Allow", "GET"),)),
        Refusal(400, "malformed_request", "the request breaks the rules of HTTP/1.1"),
        Refusal(400, "http_version", "a WebSocket opens with HTTP/1.1"),
        Refusal(400, "bad_host", "the request needs exactly one valid Host"),
        Refusal(400, "bad_target", "the request target is not valid"),
        Refusal(400, "body_not_allowed", "an opening handshake has no body"),
        Refusal(400, "early_data", "nothing may follow the opening handshake before its answer"),
        Refusal(426, "upgrade_required", "this path speaks the WebSocket protocol", _UPGRADE),
        Refusal(400, "bad_connection", "Connection must name upgrade"),
        Refusal(426, "unsupported_version", "only version 13 is spoken here", _UPGRADE),
        Refusal(400, "bad_key", "Sec-WebSocket-Key must be 16 bytes in base64, once"),
        Refusal(431, "headers_too_large", "the header block is too large"),
        Refusal(404, "not_found", "nothing is served at this path"),
        Refusal(400, "unknown_subprotocol", "this path requires one of its subprotocols"),
        Refusal(403, "origin_not_allowed", "this origin may not connect"),
        Refusal(401, "unauthorized", "valid credentials are required", (("WWW-Authenticate", "Bearer"),)),
        Refusal(403, "forbidden", "not allowed"),
        Refusal(408, "timeout", "the request did not come in time"),
        Refusal(429, "too_many_requests", "too many requests from this address", (("Retry-After", "1"),)),
        Refusal(
            429,
            "too_many_connections_from_address",
            "no room for another connection from this address",
            (("Retry-After", "5"),),
        ),
        Refusal(
            429,
            "too_many_connections_of_user",
            "no room for another connection of this user",
            (("Retry-After", "5"),),
        ),
        Refusal(503, "too_many_handshakes", "too many clients connect at once", (("Retry-After", "1"),)),
        Refusal(503, "too_many_connections", "no room for another connection", (("Retry-After", "5"),)),
        Refusal(
            503,
            "too_many_connections_on_route",
            "no room for another connection at this path",
            (("Retry-After", "5"),),
        ),
        Refusal(503, "draining", "the gateway is stopping", (("Retry-After", "5"),)),
        Refusal(503, "broker_unavailable", "the gateway is not ready", (("Retry-After", "5"),)),
        Refusal(503, "auth_unavailable", "the credentials cannot be checked now", (("Retry-After", "5"),)),
        Refusal(503, "check_timeout", "a check did not answer in time", (("Retry-After", "5"),)),
        Refusal(500, "internal_error", "the gateway failed"),
    )
}


def refuse(error: str, detail: str = "", *, retry_after: float | None = None, limit: str = "") -> Refused:
    """Make the exception for a row of `REFUSALS`.

    Args:
        error: The row.
        detail: What the log says besides.
        retry_after: Seconds until the client may try again, rounded up; `None`: what the row says.
        limit: As of `Refused`.
    """
    refusal = REFUSALS[error]
    if retry_after is not None:
        others = tuple(field for field in refusal.headers if field[0] != "Retry-After")
        refusal = replace(refusal, headers=(*others, ("Retry-After", str(max(ceil(retry_after), 1)))))
    return Refused(refusal, detail, limit)
