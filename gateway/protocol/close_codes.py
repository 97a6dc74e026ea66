"""Every close code that the gateway sends, in one table: what it means and whether to reconnect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from websockets.frames import CloseCode

__all__ = [
    "CLOSE_CODES",
    "DISCONNECTED",
    "IDENTITY_EXPIRED",
    "IDENTITY_REVOKED",
    "PUBLICATIONS_MISSED",
    "CloseCode",
    "CloseCodeRow",
    "Reconnect",
    "may_be_received",
    "may_be_sent",
]

IDENTITY_EXPIRED: Final = 4401
IDENTITY_REVOKED: Final = 4403
PUBLICATIONS_MISSED: Final = 4409
DISCONNECTED: Final = 4410


class Reconnect(StrEnum):
    """What a client does after it was closed with a code."""

    YES = "yes"
    LATER = "later"
    NO = "no"


@dataclass(frozen=True, slots=True)
class CloseCodeRow:
    """One close code of the gateway.

    Args:
        code: The number on the wire.
        name: A short name, used as the close reason where no better one is known.
        meaning: When the gateway sends it.
        reconnect: What the client does next: `later` means after a longer pause.
    """

    code: int
    name: str
    meaning: str
    reconnect: Reconnect


CLOSE_CODES: Final[dict[int, CloseCodeRow]] = {
    row.code: row
    for row in (
        CloseCodeRow(1000, "normal closure", "a handler ended the conversation", Reconnect.NO),
        CloseCodeRow(1001, "going away", "the gateway stops", Reconnect.LATER),
        CloseCodeRow(1002, "protocol error", "the client broke RFC 6455", Reconnect.NO),
        CloseCodeRow(1003, "unsupported data", "the route takes no message of this type", Reconnect.NO),
        CloseCodeRow(1007, "invalid data", "a text message or close reason is not UTF-8", Reconnect.NO),
        CloseCodeRow(1008, "policy violation", "a rate or deadline of the route was passed", Reconnect.NO),
        CloseCodeRow(1009, "message too big", "a message is over the route's limit", Reconnect.NO),
        CloseCodeRow(1011, "internal error", "a handler failed, or no pong came in time", Reconnect.YES),
        CloseCodeRow(1012, "service restart", "the gateway restarts", Reconnect.YES),
        CloseCodeRow(
            1013,
            "try again later",
            "the client read too slowly, or a plugin is out of order",
            Reconnect.LATER,
        ),
        CloseCodeRow(IDENTITY_EXPIRED, "identity expired", "the credentials ran out", Reconnect.YES),
        CloseCodeRow(IDENTITY_REVOKED, "identity revoked", "the credentials were withdrawn", Reconnect.NO),
        CloseCodeRow(
            PUBLICATIONS_MISSED, "publications missed", "messages may be missing before this", Reconnect.YES
        ),
        CloseCodeRow(DISCONNECTED, "disconnected", "an operator ended the connection", Reconnect.NO),
    )
}


def may_be_received(code: int) -> bool:
    """Tell whether a peer may put this code on the wire (RFC 6455 sections 7.4.1 and 7.4.2).

    3000 to 4999 are free for registered and private use; of the range below only the codes that the
    IANA registry defines for the wire are legal, so 1004 to 1006 and 1015 to 2999 are not.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999  # noqa: PLR2004


def may_be_sent(code: int) -> bool:
    """Tell whether a handler may close a connection with this code: as `may_be_received`."""
    return may_be_received(code)
