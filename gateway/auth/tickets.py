"""Tickets: made and read with one secret that all nodes share."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import jwt
import pydantic
from pydantic import Field

from gateway.core.identity import Identity
from gateway.errors import GatewayError
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_TICKET_CHARACTERS", "Ticket", "TicketTooBigError", "Tickets"]

MOST_TICKET_CHARACTERS: Final = 4096
"""Longest ticket: it goes into a request line or a header, and the whole head may have 8 KiB."""

LEEWAY_SECONDS: Final = 5
"""How far the clocks of two nodes may be apart."""

_ALGORITHM: Final = "HS256"
_TYPE: Final = "gateway-ticket"
_AUDIENCE: Final = "gateway-ticket"
_ID_BYTES: Final = 16

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class TicketTooBigError(GatewayError):
    """An identity that does not fit into a ticket.

    Args:
        size: Characters of the ticket that would be needed.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"ticket too big: {size} characters, limit {MOST_TICKET_CHARACTERS}")
        self.size = size


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that was read.

    Args:
        id: Unlike any other's.
        ends_at: From when on it is not good on any node, in seconds since the epoch.
        identity: Whom it lets in.
        routes: Names of the routes that it opens; empty for all that take tickets.
    """

    id: str
    ends_at: float
    identity: Identity
    routes: tuple[str, ...]


class _Payload(pydantic.BaseModel):
    """What is signed. Short names, since a ticket has to fit into a header."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    aud: str
    jti: str
    iat: int
    exp: int
    sub: str
    claims: dict[str, Any] = Field(default_factory=dict)
    groups: list[str] = Field(default_factory=list)
    ends: Seconds | None = None
    issued: Seconds | None = None
    token: str | None = None
    routes: list[str] = Field(default_factory=list)


class Tickets:
    """The making and reading of tickets.

    A ticket is signed and not encrypted: who holds it can read the claims and groups in it.

    Args:
        secret: The secret, as it stands in gateway.yaml.
    """

    def __init__(self, secret: str) -> None:
        # A key of its own, so that no token signed with the same secret is a ticket, nor the reverse.
        self._key = hmac.digest(secret.encode(), b"gateway ticket", "sha256")

    def issue(self, identity: Identity, *, seconds: float, routes: Sequence[str] = ()) -> tuple[str, float]:
        """Make a ticket.

        Args:
            identity: Whom it lets in.
            seconds: For how long; less, if the identity ends before.
            routes: Names of the routes that it opens; empty for all that take tickets.

        Returns:
            The ticket, and for how many seconds it is good.

        Raises:
            TicketTooBigError: If it would be longer than `MOST_TICKET_CHARACTERS`.
            Refused: `unauthorized`, if the identity has ended.
        """
        now = time.time()
        if identity.expires_at is not None:
            seconds = min(seconds, identity.expires_at - now)
        if seconds <= 0:
            raise refuse("unauthorized", "identity has ended")
        payload: dict[str, Any] = {
            "aud": _AUDIENCE,
            "jti": secrets.token_urlsafe(_ID_BYTES),
            "iat": math.floor(now),
            "exp": math.ceil(now + seconds),
            "sub": identity.user,
            "claims": dict(identity.claims),
            "groups": list(identity.groups),
            "ends": identity.expires_at,
            "issued": identity.issued_at,
            "token": identity.token_id,
            "routes": list(routes),
        }
        given = {name: value for name, value in payload.items() if value not in (None, [], {})}
        ticket = jwt.encode(given, self._key, _ALGORITHM, headers={"typ": _TYPE})
        if len(ticket) > MOST_TICKET_CHARACTERS:
            raise TicketTooBigError(len(ticket))
        return ticket, seconds

    def read(self, ticket: str) -> Ticket:
        """Read a ticket. Whether it was used before is not judged here.

        Raises:
            Refused: `unauthorized`, if it is none of ours, or has ended.
        """
        if len(ticket) > MOST_TICKET_CHARACTERS:
            raise refuse("unauthorized", "ticket too long")
        try:
            decoded = jwt.decode_complete(
                ticket,
                self._key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                leeway=LEEWAY_SECONDS,
                options={"require": ["aud", "exp", "iat", "jti", "sub"]},
            )
            if decoded["header"].get("typ") != _TYPE:
                raise refuse("unauthorized", "ticket is of another type")
            payload = _Payload.model_validate(decoded["payload"])
        except (jwt.PyJWTError, ValueError, RecursionError) as exc:
            raise refuse("unauthorized", f"ticket is not good: {type(exc).__name__}") from None
        identity = Identity(
            payload.sub,
            payload.claims,
            expires_at=payload.ends,
            proved_by="ticket",
            groups=tuple(payload.groups),
            token_id=payload.token,
            issued_at=payload.issued,
        )
        return Ticket(payload.jti, payload.exp + LEEWAY_SECONDS, identity, tuple(payload.routes))
