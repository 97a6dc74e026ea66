"""The Sanic application: plain HTTP, the router that knows every path, and its JSON errors."""

from __future__ import annotations

import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sanic import Sanic
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse, json
from sanic_routing.exceptions import RouteExists

from gateway.errors import GatewayError
from gateway.protocol.refusals import REFUSALS, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sanic import Blueprint, Request

    from gateway.config.models import GatewayConfig
    from gateway.core.route import Route
    from gateway.observe.logs import Logger
    from gateway.server.gate import Found

__all__ = ["PathTakenError", "answer_refusal", "build_sanic", "find_route"]

# What plain HTTP answers in place of Sanic's own texts, which repeat the request.
_NO_PARAMS: Final = MappingProxyType[str, str]({})
_CLIENT_ERRORS: Final = {
    401: ("unauthorized", "valid credentials are required"),
    403: ("forbidden", "not allowed"),
    404: ("not_found", "nothing is served at this path"),
    405: ("method_not_allowed", "this path does not take this method"),
    408: ("timeout", "the request did not come in time"),
    413: ("body_too_big", "the body is too big"),
}


class PathTakenError(GatewayError):
    """A path that two of the routes and blueprints claim.

    Args:
        fact: The path and its methods, in the router's words.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"two parts of the gateway claim one path, `gateway check` says which: {fact}")
        self.fact = fact


def build_sanic(
    config: GatewayConfig, routes: Iterable[Route], blueprints: Sequence[Blueprint], log: Logger
) -> Sanic[Any, Any]:
    """Make the application of one process.

    Raises:
        PathTakenError: If two of the routes and blueprints claim one path.
    """
    # Sanic keeps a registry of applications by name, and refuses a name twice.
    app = Sanic(f"gateway-{secrets.token_hex(4)}", configure_logging=False)
    app.config.update(
        {
            "ACCESS_LOG": False,
            "MOTD": False,
            # Sanic would rewrite its own source for the signals in use: only plain HTTP gains.
            "TOUCHUP": False,
            "REQUEST_MAX_SIZE": config.api.max_body_bytes,
            "REQUEST_TIMEOUT": config.listen.opening_timeout_seconds,
            "RESPONSE_TIMEOUT": 60,
            "KEEP_ALIVE_TIMEOUT": 75,
        }
    )
    for route in routes:
        app.add_route(
            _PlainHandler(route),
            _sanic_path(route.config.path),
            methods=["GET"],
            name=f"ws_{len(app.router.routes_all)}",
            strict_slashes=True,
        )
    for blueprint in blueprints:
        try:
            app.blueprint(blueprint)
        except RouteExists as exc:
            raise PathTakenError(str(exc).rpartition(": ")[2]) from None

    async def answer_error(request: Request, error: Exception) -> HTTPResponse:
        if isinstance(error, SanicException) and error.status_code < 500:  # noqa: PLR2004
            name, message = _CLIENT_ERRORS.get(error.status_code, ("bad_request", "the request is not valid"))
            return json({"error": name, "message": message}, status=error.status_code, headers=error.headers)
        log.error("http_failed", method=request.method, path=request.path, exc_info=error)
        if isinstance(error, SanicException) and error.status_code != 500:  # noqa: PLR2004
            # A plugin's own 503, say; its text is for the log.
            body = {"error": "unavailable", "message": "the request cannot be served now"}
            return json(body, status=error.status_code, headers=error.headers)
        return answer_refusal(REFUSALS["internal_error"])

    app.exception(Exception)(answer_error)
    return app


def answer_refusal(refusal: Refusal) -> HTTPResponse:
    """Give a refusal as one of Sanic's responses."""
    headers = {name: value for name, value in refusal.headers if name.lower() != "connection"}
    return json({"error": refusal.error, "message": refusal.message}, status=refusal.status, headers=headers)


def find_route(app: Sanic[Any, Any], path: str) -> Found | None:
    """Ask Sanic's router for the WebSocket route of a decoded path."""
    try:
        _, handler, params = app.router.get(path, "GET", None)
    except SanicException:
        return None
    if not isinstance(handler, _PlainHandler):
        return None
    # The router keeps its answer for the next request to this path, so that nobody may change it.
    return handler.route, MappingProxyType(params) if params else _NO_PARAMS


class _PlainHandler:
    """What stands in Sanic's router for a WebSocket route.

    It is never called: the front passes no request for such a path on.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.__name__ = "websocket_route"

    async def __call__(self, *_: Request, **__: str) -> HTTPResponse:
        return answer_refusal(REFUSALS["upgrade_required"])


def _sanic_path(path: str) -> str:
    """Write a path of gateway.yaml in Sanic's way: `{room}` is `<room:str>`."""
    return path.replace("{", "<").replace("}", ":str>")
