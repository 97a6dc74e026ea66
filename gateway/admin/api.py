"""The HTTP API: what may be done to a running gateway from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.admin.body import BadBodyError, leave_unread, parse_body, read_body
from gateway.admin.ending import DisconnectRequest, RevokeRequest
from gateway.admin.history import HistoryQuery, PositionQuery
from gateway.admin.presence import PresenceQuery
from gateway.admin.publishing import PublishRequest
from gateway.admin.query import Query, parse_query
from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sanic import Request

    from gateway.admin.access import ApiAccess
    from gateway.config.models import ApiConfig
    from gateway.core.node import Node
    from gateway.core.revocations import Revocation

__all__ = ["api_blueprint"]

_RETRY_SECONDS: Final = "5"
_FRESH: Final = {"cache-control": "no-store"}

_READINGS: Final[dict[str, type[Query]]] = {
    "history": HistoryQuery,
    "position": PositionQuery,
    "presence": PresenceQuery,
}
"""What `GET /api/...` answers, by the last part of the path."""


def api_blueprint(
    node: Node,
    config: ApiConfig,
    access: ApiAccess,
    *,
    revocation_seconds: float,
    leeway_seconds: float,
    keep: Callable[[Revocation], Awaitable[None]] | None,
) -> Blueprint:
    """Make the API.

    Args:
        node: The node.
        config: The API's settings.
        access: The judge of who calls.
        revocation_seconds: How long a revocation holds that does not say it.
        leeway_seconds: For how long after their end tokens may still be good.
        keep: Keeps a revocation beyond the life of this process, before the call is answered; `None`: nothing
            does.
    """
    log = node.log.bind(logger="gateway.api")
    blueprint = Blueprint("gateway_api", url_prefix="/api")

    @blueprint.on_request
    async def authenticate(request: Request) -> HTTPResponse | None:
        try:
            request.ctx.caller = await access.identify(request)
        except Refused as refused:
            refusal = refused.refusal
            access.refused(request, refusal.status, refusal.error, refused.detail)
            leave_unread(request)
            headers = {name: value for name, value in refusal.headers if name.lower() != "connection"}
            return _error(refusal.status, refusal.error, refusal.message, headers)
        return None

    # As streams, so that nothing of a body is kept before the credentials are judged.
    @blueprint.post("/publish", stream=True)
    async def publish(request: Request) -> HTTPResponse:
        return await _answer(request, do_publish)

    @blueprint.post("/disconnect", stream=True)
    async def disconnect(request: Request) -> HTTPResponse:
        return await _answer(request, do_disconnect)

    @blueprint.post("/revoke", stream=True)
    async def revoke(request: Request) -> HTTPResponse:
        return await _answer(request, do_revoke)

    async def _answer(
        request: Request, call: Callable[[bytes, str], Awaitable[dict[str, Any]]]
    ) -> HTTPResponse:
        try:
            result = await call(await read_body(request, config.max_body_bytes), request.ctx.caller)
        except (BadBodyError, BrokerUnavailableError, MessageTooBigError) as exc:
            return _failed(exc)
        return json({"node": node.name, **result})

    async def do_publish(body: bytes, caller: str) -> dict[str, Any]:
        done = await parse_body(PublishRequest, body).publish(node)
        log.debug("api_published", caller=caller, **done)
        return done

    async def do_disconnect(body: bytes, caller: str) -> dict[str, Any]:
        asked = parse_body(DisconnectRequest, body)
        count = asked.carry_out(node)
        log.info("api_disconnected", caller=caller, connections=count, code=asked.code)
        return {"connections": count}

    async def do_revoke(body: bytes, caller: str) -> dict[str, Any]:
        asked = parse_body(RevokeRequest, body)
        revocation = asked.revocation(node.now(), revocation_seconds, leeway_seconds)
        count = asked.carry_out(node, revocation)
        if keep is not None:
            await keep(revocation)
            # A process that has just started may have read the file too early, and heard of it too late.
            asked.carry_out(node, revocation)
        log.info("api_revoked", caller=caller, connections=count, user=asked.user, until=revocation.until)
        return {"connections": count, "expires_at": revocation.until}

    for name, query in _READINGS.items():
        _add_reading(blueprint, node, name, query)
    return blueprint


def _add_reading(blueprint: Blueprint, node: Node, name: str, query: type[Query]) -> None:
    async def read(request: Request) -> HTTPResponse:
        try:
            result = await parse_query(query, request).answer(node)
        except (BadBodyError, BrokerUnavailableError) as exc:
            return _failed(exc)
        return json({"node": node.name, **result}, headers=_FRESH)

    blueprint.add_route(read, f"/{name}", methods=["GET"], name=name)


def _failed(error: BadBodyError | BrokerUnavailableError | MessageTooBigError) -> HTTPResponse:
    if isinstance(error, BadBodyError):
        return _error(error.status, error.error, str(error))
    if isinstance(error, MessageTooBigError):
        return _error(413, "message_too_big", str(error))
    return _error(503, "broker_unavailable", str(error), {"retry-after": _RETRY_SECONDS})


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers=headers)
