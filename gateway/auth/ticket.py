"""The way `ticket`: a ticket from `POST /api/tickets` opens one connection."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from gateway.auth.tickets import Tickets
from gateway.broker.contract import BrokerUnavailableError
from gateway.config.models import TicketWayConfig
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from gateway.broker.contract import Broker
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.opening import Opening
    from gateway.core.request import OpeningRequest

__all__ = ["TicketAuthenticator", "find_ticket"]

# A JWT's characters are all those of an HTTP token, so that a ticket can be a subprotocol.
_SUBPROTOCOL: Final = re.compile(r"ticket\.([A-Za-z0-9_\-.]+)")


class TicketAuthenticator(Authenticator[TicketWayConfig]):
    """The way `ticket`."""

    def __init__(self, options: TicketWayConfig) -> None:
        super().__init__(options)
        self._tickets = Tickets(options.secret.get_secret_value())
        self._broker: Broker | None = None

    def on_start(self, node: Node) -> None:
        """Remember who knows which tickets were used."""
        self._broker = node.broker

    async def authenticate(self, opening: Opening) -> Identity | None:
        """Judge a ticket, and use it up; `None` if the request has none.

        Raises:
            Refused: `unauthorized`, if the ticket is not good, or was used before; `forbidden`, if it is for
                other routes; `auth_unavailable`, if nobody can say whether it was used.
        """
        given = find_ticket(opening.request)
        if given is None:
            return None
        ticket = self._tickets.read(given)
        now = time.time()
        if ticket.identity.expires_at is not None and ticket.identity.expires_at <= now:
            raise refuse("unauthorized", "ticket's identity has ended")
        if ticket.routes and opening.route not in ticket.routes:
            raise refuse("forbidden", "ticket is for other routes")
        assert self._broker is not None  # noqa: S101 - the way has started
        try:
            first = await self._broker.claim(f"ticket:{ticket.id}", max(ticket.ends_at - now, 1.0))
        except BrokerUnavailableError as exc:
            raise refuse("auth_unavailable", str(exc)) from None
        if not first:
            raise refuse("unauthorized", "ticket was used before")
        return ticket.identity


def find_ticket(request: OpeningRequest) -> str | None:
    """Give the ticket of a request, from its query or its subprotocols; `None` if there is none.

    Raises:
        Refused: `unauthorized`, if there are two that differ.
    """
    found = {value for value in request.query_params.get("ticket", ()) if value}
    for field in request.get_all("sec-websocket-protocol"):
        for part in field.split(","):
            match = _SUBPROTOCOL.fullmatch(part.strip(" \t"))
            if match is not None:
                found.add(match[1])
    if len(found) > 1:
        raise refuse("unauthorized", "more than one ticket")
    return found.pop() if found else None
