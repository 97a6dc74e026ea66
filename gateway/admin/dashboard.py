"""The dashboard at `/admin`: its pages, and the session that one logs in to and out of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from sanic import Blueprint
from sanic.exceptions import NotFound
from sanic.response import HTTPResponse

from gateway.admin.assets import HARDENING, PAGE_FIELDS, Pages, load_assets
from gateway.admin.body import BadBodyError, leave_unread, read_body
from gateway.admin.sessions import COOKIE
from gateway.admin.throttle import LoginThrottle
from gateway.protocol.origin import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sanic import Request

    from gateway.admin.access import ApiAccess
    from gateway.admin.sessions import Session
    from gateway.core.node import Node

__all__ = ["dashboard_blueprint"]

_HOME: Final = "/admin"
_READING: Final = ("GET", "HEAD")
_HTML: Final = "text/html; charset=utf-8"
_MOST_BODY_BYTES: Final = 8192
_WRONG: Final = "This token does not open the dashboard."


def dashboard_blueprint(
    node: Node,
    access: ApiAccess | None,
    client: Callable[[Request], tuple[str, str]],
    network_of: Callable[[str], str],
) -> Blueprint:
    """Make the dashboard.

    Args:
        node: The node.
        access: The judge of tokens, with the sessions; `None` where no token is set, and nobody can log in.
        client: Gives the address of who asks, and the scheme that they speak.
        network_of: Gives what counts as one client, by the address.
    """
    blueprint = Blueprint("gateway_dashboard", url_prefix=_HOME)
    if access is not None and access.has_tokens:
        _Desk(node, access, client, network_of).add_to(blueprint)
    else:
        closed = _page(Pages().closed, 503)

        async def show_closed(_: Request) -> HTTPResponse:
            return closed()

        blueprint.add_route(show_closed, "/", methods=_READING, name="page")
    _add_assets(blueprint)
    return blueprint


class _Desk:
    """Where operators log in and out, and what they are shown.

    Args:
        node: The node.
        access: The judge of tokens, with the sessions.
        client: Gives the address of who asks, and the scheme that they speak.
        network_of: Gives what counts as one client, by the address.
    """

    def __init__(
        self,
        node: Node,
        access: ApiAccess,
        client: Callable[[Request], tuple[str, str]],
        network_of: Callable[[str], str],
    ) -> None:
        assert access.sessions is not None  # noqa: S101 - it is the judge of the operators' listener
        self._access = access
        self._sessions = access.sessions
        self._client = client
        self._network_of = network_of
        self._log = node.log.bind(logger="gateway.admin")
        self._limits = node.metrics.limits
        self._throttle = LoginThrottle(node.clock.time)
        self._origins = OriginPolicy.from_config(None, missing=False)
        self._pages = Pages()

    def add_to(self, blueprint: Blueprint) -> None:
        """Serve from a blueprint."""

        # As streams, so that no body is kept before the origin is judged, and never a long one.
        @blueprint.post("/login", stream=True)
        async def log_in(request: Request) -> HTTPResponse:
            return await self.log_in(request)

        @blueprint.post("/logout", stream=True)
        async def log_out(request: Request) -> HTTPResponse:
            return await self.log_out(request)

        async def go_home(_: Request) -> HTTPResponse:
            return _go_home()

        # Whoever reloads the answer of a login, or follows a link to it.
        blueprint.add_route(go_home, "/login", methods=_READING, name="login_home")
        blueprint.add_route(go_home, "/logout", methods=_READING, name="logout_home")
        blueprint.add_route(self.show, "/", methods=_READING, name="page")

    async def show(self, request: Request) -> HTTPResponse:
        """Answer with the dashboard, or with the page to log in at."""
        found = self._session(request)
        return _page(self._pages.login() if found is None else self._pages.dashboard)()

    async def log_in(self, request: Request) -> HTTPResponse:
        """Judge a token, and begin a session."""
        address, scheme = self._client(request)
        if not self._is_own(request, scheme):
            return self._foreign(request, address)
        try:
            body = await read_body(request, _MOST_BODY_BYTES)
        except BadBodyError as exc:
            return self._fault(_WRONG, exc.status)
        # From here on nothing waits: of many tries at one time all but the first see its failure.
        network = self._network_of(address)
        seconds = self._throttle.wait(network)
        if seconds > 0:
            self._limits["login_attempts"] += 1
            # Not even the right one is judged: else who guesses would be told by it.
            return self._too_soon(math.ceil(seconds))
        caller = self._access.token(_token(body))
        if caller is None:
            count = self._throttle.failed(network)
            self._log.warning("admin_login_failed", remote=address, wrong=count)
            return self._fault(_WRONG, 401)
        if "read" not in caller.scopes:
            self._log.warning("admin_login_failed", remote=address, caller=caller.name, detail="scope read")
            return self._fault("This token lacks the scope “read”.", 403)
        self._throttle.passed(network)
        self._log.info("admin_login", caller=caller.name, remote=address)
        return _go_home(_cookie(self._sessions.issue(caller.name), math.ceil(self._sessions.seconds), scheme))

    async def log_out(self, request: Request) -> HTTPResponse:
        """End a session in the browser that has it."""
        address, scheme = self._client(request)
        leave_unread(request)
        if not self._is_own(request, scheme):
            return self._foreign(request, address)
        found = self._session(request)
        if found is not None:
            self._log.info("admin_logout", caller=found.caller.name, remote=address)
        return _go_home(_cookie("", 0, scheme))

    def _session(self, request: Request) -> Session | None:
        values = request.cookies.getlist(COOKIE, [])
        return self._sessions.find(values[0]) if len(values) == 1 else None

    def _is_own(self, request: Request, scheme: str) -> bool:
        """Tell whether a page of our own origin asks: no other may log anybody in or out."""
        fields = {name: request.headers.getall(name, []) for name in ("host", "origin")}
        return self._origins.admits_request(fields, scheme)

    def _foreign(self, request: Request, address: str) -> HTTPResponse:
        leave_unread(request)
        self._log.warning("admin_origin_refused", path=request.path, remote=address)
        return self._fault("This form came from another page. Log in here.", 403)

    def _too_soon(self, seconds: int) -> HTTPResponse:
        answer = self._fault(
            f"Too many wrong tokens from your address. Try again in {seconds} second{'s' * (seconds > 1)}.",
            429,
        )
        answer.headers["retry-after"] = str(seconds)
        return answer

    def _fault(self, text: str, status: int) -> HTTPResponse:
        return _page(self._pages.login(text), status)()


def _token(body: bytes) -> str:
    try:
        given = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=8)
    except ValueError:
        return ""
    values = given.get("token", [])
    return values[0].strip() if len(values) == 1 else ""


def _cookie(value: str, seconds: int, scheme: str) -> str:
    secure = "; Secure" if scheme == "https" else ""
    return f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _page(text: str, status: int = 200) -> Callable[[], HTTPResponse]:
    return lambda: HTTPResponse(text, status, dict(PAGE_FIELDS), _HTML)


def _go_home(cookie: str | None = None) -> HTTPResponse:
    """Lead to the page by GET (RFC 9110 section 15.4.4)."""
    headers: dict[str, str] = {**PAGE_FIELDS, "location": _HOME}
    if cookie is not None:
        headers["set-cookie"] = cookie
    return HTTPResponse(status=303, headers=headers, content_type=_HTML)


def _add_assets(blueprint: Blueprint) -> None:
    assets = load_assets()

    async def show_asset(request: Request, name: str) -> HTTPResponse:
        asset = assets.get(name)
        if asset is None:
            raise NotFound("no such asset")
        # Kept, but asked about each time: the modules of one page must be of one version.
        headers: Mapping[str, Any] = {**HARDENING, "etag": asset.etag, "cache-control": "no-cache"}
        held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if asset.etag in held:
            return HTTPResponse(status=304, headers=dict(headers))
        return HTTPResponse(asset.body, headers=dict(headers), content_type=asset.content_type)

    blueprint.add_route(show_asset, "/assets/<name:str>", methods=_READING, name="asset")
