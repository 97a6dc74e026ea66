"""The HTTP API: what may be done to a running gateway from anywhere."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.admin.answers import SessionAnswer
from gateway.admin.body import BadBodyError, BodyTooBigError, leave_unread, read_body
from gateway.admin.composition import ConfigurationQuery, PluginsQuery, RoutesQuery
from gateway.admin.everywhere import ConnectionsQuery, GroupsQuery, NodesQuery, StatsQuery, UsersQuery
from gateway.admin.history import HistoryQuery, PositionQuery
from gateway.admin.openapi import describe
from gateway.admin.presence import PresenceQuery
from gateway.admin.publishing import NotPublishedError
from gateway.admin.query import Query, parse_query
from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sanic import Request

    from gateway.admin.access import ApiAccess
    from gateway.admin.calls import Calls
    from gateway.admin.inside import Inside
    from gateway.config.models.access import Scope
    from gateway.core.node import Node

__all__ = ["api_blueprint"]

_RETRY_SECONDS: Final = "5"
_FRESH: Final = {"cache-control": "no-store"}
_FORM: Final = "json"
"""Of errors. Where none is named, Sanic reads the source of each handler to find one: a millisecond each."""

_READINGS: Final[dict[str, type[Query]]] = {
    "connections": ConnectionsQuery,
    "users": UsersQuery,
    "groups": GroupsQuery,
    "presence": PresenceQuery,
    "history": HistoryQuery,
    "position": PositionQuery,
    "nodes": NodesQuery,
    "stats": StatsQuery,
    "plugins": PluginsQuery,
    "routes": RoutesQuery,
    "configuration": ConfigurationQuery,
}
"""What `GET /api/...` answers, by the last part of the path."""


def api_blueprint(inside: Inside, calls: Calls, access: ApiAccess, *, max_body_bytes: int) -> Blueprint:
    """Make the API.

    Args:
        inside: What its readings look into.
        calls: What its calls do.
        access: The judge of who calls.
        max_body_bytes: Most bytes of a body.
    """
    node = inside.node
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

    @blueprint.get("/session")
    async def session(request: Request) -> HTTPResponse:
        caller = request.ctx.caller
        ends_at = access.session_end(request)
        answer = {"name": caller.name, "scopes": sorted(caller.scopes), "ends_at": ends_at}
        return json({"node": node.name, **answer}, headers=_FRESH)

    # Made when it is asked for: it would be half of what a start spends on this listener (17 ms).
    document = cache(lambda: describe(_READINGS, SessionAnswer))

    @blueprint.get("/openapi.json")
    async def openapi(_: Request) -> HTTPResponse:
        return json(await asyncio.to_thread(document), headers=_FRESH)

    _add_call(blueprint, access, "publish", calls.publish, node, max_body_bytes)
    _add_call(blueprint, access, "disconnect", calls.disconnect, node, max_body_bytes)
    _add_call(blueprint, access, "revoke", calls.revoke, node, max_body_bytes)
    for name, query in _READINGS.items():
        _add_reading(blueprint, access, name, query, inside)
    return blueprint


def _add_call(
    blueprint: Blueprint,
    access: ApiAccess,
    scope: Scope,
    call: Callable[[bytes, str], Awaitable[dict[str, Any]]],
    node: Node,
    max_body_bytes: int,
) -> None:
    async def answer(request: Request) -> HTTPResponse:
        caller = request.ctx.caller
        if scope not in caller.scopes:
            leave_unread(request)
            return _out_of_scope(access, request, scope)
        try:
            result = await call(await read_body(request, max_body_bytes), caller.name)
        except (BadBodyError, BrokerUnavailableError, MessageTooBigError, NotPublishedError) as exc:
            if isinstance(exc, BodyTooBigError):
                node.metrics.limits["max_body_bytes"] += 1
            return _failed(exc)
        return json({"node": node.name, **result})

    # As a stream, so that nothing of a body is kept before the credentials are judged.
    blueprint.add_route(answer, f"/{scope}", methods=["POST"], name=scope, stream=True, error_format=_FORM)


def _add_reading(
    blueprint: Blueprint, access: ApiAccess, name: str, query: type[Query], inside: Inside
) -> None:
    async def read(request: Request) -> HTTPResponse:
        if "read" not in request.ctx.caller.scopes:
            return _out_of_scope(access, request, "read")
        try:
            result = await parse_query(query, request).answer(inside)
        except (BadBodyError, BrokerUnavailableError) as exc:
            return _failed(exc)
        return json({"node": inside.node.name, **result}, headers=_FRESH)

    blueprint.add_route(read, f"/{name}", methods=["GET"], name=name, error_format=_FORM)


def _out_of_scope(access: ApiAccess, request: Request, scope: Scope) -> HTTPResponse:
    access.refused(request, 403, "insufficient_scope", f"scope {scope} is missing")
    # RFC 6750 section 3.1
    fields = {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    return _error(403, "insufficient_scope", f"the token has not the scope {scope}", fields)


def _failed(
    error: BadBodyError | BrokerUnavailableError | MessageTooBigError | NotPublishedError,
) -> HTTPResponse:
    if isinstance(error, NotPublishedError):
        answer = _failed(error.cause)
        body = {**error.told, "groups": error.groups}
        return json(body, status=answer.status, headers=dict(answer.headers))
    if isinstance(error, BadBodyError):
        return _error(error.status, error.error, str(error))
    if isinstance(error, MessageTooBigError):
        return _error(413, "message_too_big", str(error))
    return _error(503, "broker_unavailable", str(error), {"retry-after": _RETRY_SECONDS})


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers=headers)
