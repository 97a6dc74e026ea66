"""`POST /api/tickets`: who can prove an identity here gets a ticket that opens one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import pydantic
from pydantic import Field
from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.admin.body import BadBodyError, leave_unread, parse_body, read_body
from gateway.auth.credentials import find
from gateway.auth.failed_checks import FailedChecks
from gateway.auth.pipeline import authenticate
from gateway.auth.tickets import Tickets, TicketTooBigError
from gateway.core.opening import Opening
from gateway.core.request import OpeningRequest
from gateway.observe.turned_away import count_limit
from gateway.protocol.head import parse_head
from gateway.protocol.origin import OriginPolicy
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from sanic import Request

    from gateway.config.models import TicketWayConfig
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.plugin.authenticator import Authenticator

__all__ = ["PATH", "TicketRequest", "ticket_blueprint"]

PATH: Final = "/api/tickets"

_MOST_BODY_BYTES: Final = 16_384
_FIELDS: Final = {"cache-control": "no-store"}


class TicketRequest(pydantic.BaseModel):
    """The body of `POST /api/tickets`, which may be empty."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    routes: list[Annotated[str, Field(min_length=1, max_length=512)]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Names of the routes that the ticket opens. Default: null, all that take tickets.",
    )

    def judge(self, known: Container[str]) -> None:
        """Look whether the routes take tickets.

        Raises:
            BadBodyError: If one of them does not, or is none.
        """
        for index, name in enumerate(self.routes or ()):
            if name not in known:
                raise BadBodyError(f"routes[{index}]: no route of this name takes tickets")


def ticket_blueprint(
    node: Node,
    config: TicketWayConfig,
    ways: Sequence[tuple[str, Authenticator[Any]]],
    *,
    routes: Container[str],
    client: Callable[[Request], tuple[str, str]],
    by_cookie: bool,
    seconds: float,
) -> Blueprint:
    """Make the call that gives tickets.

    Args:
        node: The node.
        config: The settings of the way `ticket`.
        ways: The ways that prove who asks.
        routes: Names of the routes that take tickets.
        client: Gives the address of who asks, and the scheme that they speak, `http` or `https`.
        by_cookie: Whether a cookie can be the credential, so that an origin has to be told.
        seconds: For how long the ways may judge.
    """
    log = node.log.bind(logger="gateway.api")
    blueprint = Blueprint("gateway_tickets")
    checks = FailedChecks(node)
    tickets = Tickets(config.secret.get_secret_value())
    origins = OriginPolicy.from_config(config.allowed_origins, missing=not by_cookie)

    async def identify(request: Request, address: str, scheme: str) -> Identity:
        head = parse_head(request.head, max_lines=len(request.head))
        # The rule for opening handshakes: a page elsewhere cannot have its reader's cookies buy a ticket.
        if not origins.admits_request(head.fields, scheme):
            raise refuse("origin_not_allowed")
        asked = OpeningRequest(head, PATH)
        opening = Opening(
            asked,
            PATH,
            {},
            address,
            None,
            credential=find(asked, config.credentials_from),
            peer_certificate=request.transport.get_extra_info("peercert") or None,
        )
        identity = await checks.within(seconds, authenticate(opening, ways, node.revocations), path=PATH)
        assert identity is not None  # noqa: S101 - there is at least one way
        return identity

    # As a stream, so that nothing of the body is kept before the credentials are judged.
    @blueprint.post(PATH, stream=True)
    async def give(request: Request) -> HTTPResponse:
        address, scheme = client(request)
        try:
            identity = await identify(request, address, scheme)
            asked = parse_body(TicketRequest, await read_body(request, _MOST_BODY_BYTES) or b"{}")
            asked.judge(routes)
            ticket, good = tickets.issue(identity, seconds=config.ticket_seconds, routes=asked.routes or ())
        except Refused as refused:
            leave_unread(request)
            count_limit(node.metrics, refused)
            refusal = refused.refusal
            log.info(
                "ticket_refused",
                status=refusal.status,
                error=refusal.error,
                detail=refused.detail,
                remote=address,
            )
            headers = {name: value for name, value in refusal.headers if name.lower() != "connection"}
            return _error(refusal.status, refusal.error, refusal.message, headers)
        except BadBodyError as exc:
            return _error(exc.status, exc.error, str(exc))
        except TicketTooBigError as exc:
            log.warning("ticket_too_big", user=identity.user, characters=exc.size)
            return _error(422, "ticket_too_big", "the identity's claims and groups do not fit into a ticket")
        log.debug("ticket_given", user=identity.user, way=identity.proved_by, remote=address)
        body = {"ticket": ticket, "expires_in_seconds": round(good, 3)}
        return json(body, status=201, headers=_FIELDS)

    return blueprint


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers={**_FIELDS, **(headers or {})})
