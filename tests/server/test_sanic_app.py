"""Tests of the Sanic application: plain HTTP beside the WebSocket routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint
from sanic.exceptions import Forbidden, ServiceUnavailable
from sanic.response import HTTPResponse, text

from gateway import hookimpl
from gateway.server.sanic_app import PathTakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sanic import Request

ROUTES = """
api: {max_body_bytes: 1000}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
  - path: /chat/{room}
    handlers: [echo]
    allow_missing_origin: true
"""
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade, close", "sec_websocket_version": "13"}


class Site:
    """A plugin that answers plain HTTP, and fails in every way."""

    @hookimpl
    def gateway_blueprints(self) -> list[Blueprint]:
        """Give its paths."""
        blueprint = Blueprint("site")

        @blueprint.get("/page")
        async def page(_: Request) -> HTTPResponse:
            return text("a page")

        @blueprint.post("/post")
        async def post(request: Request) -> HTTPResponse:
            return text(str(len(request.body)))

        @blueprint.get("/raise")
        async def fail(_: Request) -> HTTPResponse:
            raise RuntimeError("the secret of the house")

        @blueprint.get("/forbid")
        async def forbid(_: Request) -> HTTPResponse:
            raise Forbidden("the secret of the house")

        @blueprint.get("/unavailable")
        async def unavailable(_: Request) -> HTTPResponse:
            raise ServiceUnavailable("the secret of the house")

        @blueprint.get("/nothing-sent")
        async def nothing_sent(_: Request) -> None:
            return None

        return [blueprint]


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve routes and a site."""
    return await start(ROUTES, plugins=[Site()])


def request(target: str, *lines: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """Write a request."""
    return "\r\n".join([f"{method} {target} {version}", *(lines or ("Host: localhost",)), "", ""]).encode()


async def test_not_found(server: Any, ask: Callable) -> None:
    """A path that nobody answers is 404 in JSON, and TCP stays for the next request."""
    wire = await ask(server, request("/unknown?query=1"))
    for _ in range(2):
        answer = await wire.answer()
        assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
        assert answer.json == {"error": "not_found", "message": "nothing is served at this path"}
        assert answer.headers["connection"] == "keep-alive"
        wire.send(request("/unknown"))


async def test_another_method(server: Any, ask: Callable) -> None:
    """A path of a plugin that does not take the method is 405 and says what it takes."""
    wire = await ask(server, request("/page", method="DELETE"))
    answer = await wire.answer()
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert answer.json["error"] == "method_not_allowed"


async def test_error_of_a_plugin(server: Any, ask: Callable, subtests: pytest.Subtests) -> None:
    """A plugin that raises gives a generic 500 in JSON, and a log line with the traceback."""
    for target in ("/raise", "/nothing-sent"):
        with subtests.test(target=target):
            wire = await ask(server, request(f"{target}?token=hidden"))
            answer = await wire.answer()
            assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
            assert answer.json == {"error": "internal_error", "message": "the gateway failed"}
            line = server.log[-1]
            assert (line["event"], line["level"]) == ("http_failed", "error")
            assert (line["method"], line["path"]) == ("GET", target)
            assert "Traceback" in line["exception"]
            assert "hidden" not in str(line)
            wire.send(request("/page"))
            assert (await wire.answer()).body == b"a page"


async def test_refusal_of_a_plugin(server: Any, ask: Callable) -> None:
    """What a plugin raises with a status below 500 keeps the status, and its text stays here."""
    answer = await (await ask(server, request("/forbid"))).answer()
    assert answer.status == 403
    assert "secret" not in answer.body.decode()


async def test_unavailable_plugin(server: Any, ask: Callable) -> None:
    """What a plugin raises with a status of 500 or more is a failure, and its text stays here."""
    answer = await (await ask(server, request("/unavailable"))).answer()
    assert answer.status >= 500
    assert "secret" not in answer.body.decode()
    assert server.log[-1]["event"] == "http_failed"


async def test_body_too_large(server: Any, ask: Callable, subtests: pytest.Subtests) -> None:
    """A body over the limit is 413, whether its length was said or not, and the limit itself passes."""
    for lines, body, status in (
        (["Content-Length: 1000"], b"x" * 1000, 200),
        (["Content-Length: 1001"], b"x" * 1001, 413),
        (["Transfer-Encoding: chunked"], b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
    ):
        with subtests.test(lines=lines):
            wire = await ask(server, request("/post", "Host: localhost", *lines, method="POST") + body)
            assert (await wire.answer()).status == status


async def test_small_bodies_do_not_mean_small_headers(start: Callable, ask: Callable) -> None:
    """The limit of a body is none of the header's, and a header may be as large as its own limit."""
    server = await start(ROUTES.replace("1000", "1"), listen={"max_header_bytes": 40_000}, plugins=[Site()])
    wire = await ask(server, request("/page", "Host: localhost", f"X-Large: {'x' * 39_000}"))
    assert (await wire.answer()).body == b"a page"
    wire.send(request("/page", "Host: localhost", f"X-Large: {'x' * 40_000}"))
    assert (await wire.answer()).status == 431


async def test_plain_request_to_a_route(
    server: Any, ask: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A WebSocket path answers plain requests with what it wants instead."""
    for target in ("/echo", "/echo?a=b", "/chat/room", "http://localhost/echo", "/%65cho"):
        with subtests.test(target=target):
            await refused(server, await ask(server, request(target)), 426, "upgrade_required", **UPGRADE)
    for method in ("POST", "OPTIONS", "PUT"):
        with subtests.test(method=method):
            wire = await ask(server, request("/echo", method=method))
            await refused(server, wire, 405, "method_not_allowed", allow="GET")
    wire = await ask(server, request("/echo", method="HEAD"))
    await refused(server, wire, 405, "method_not_allowed", has_body=False, allow="GET")


async def test_health_checks(server: Any, ask: Callable, subtests: pytest.Subtests) -> None:
    """Load balancers ask in old and new ways, and are answered."""
    for data, keeps in (
        (request("/healthz"), True),
        (request("/healthz", "Host: localhost", "Connection: close"), False),
        (request("/healthz", "Host: localhost", version="HTTP/1.0"), False),
        (request("/healthz", "User-Agent: checker", version="HTTP/1.0"), False),
        (request("/healthz", "Connection: keep-alive", version="HTTP/1.0"), True),
        (request("http://localhost/healthz"), True),
        (request("/healthz", "Host: LOCALHOST:8000", "Upgrade: h2c", "Connection: Upgrade"), None),
        (b"\r\n" + request("/healthz"), True),
    ):
        with subtests.test(data=data):
            wire = await ask(server, data)
            answer = await wire.answer()
            assert (answer.status, answer.json) == (200, {"status": "ok"})
            if keeps:
                wire.send(request("/readyz"))
                assert (await wire.answer()).json == {"status": "ready"}
            elif keeps is not None:
                assert await wire.rest() == b""


async def test_readiness_ends_with_the_drain(server: Any, ask: Callable) -> None:
    """A node that leaves is healthy, and not ready."""
    server.node.draining = True
    wire = await ask(server, request("/readyz") + request("/healthz"))
    assert (await wire.answer()).status == 503
    assert (await wire.answer()).status == 200


async def test_request_that_breaks_http(
    server: Any, ask: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Plain requests are read as strictly as opening handshakes."""
    for data, error in (
        (request("/healthz", "X: no host"), "bad_host"),
        (request("/healthz", "Host: localhost", "Host: localhost"), "bad_host"),
        (request("/healthz", "Host: localhost", "Host: localhost", version="HTTP/1.0"), "bad_host"),
        (request("http://example.org/healthz"), "bad_target"),
        (request("*", method="OPTIONS"), "bad_target"),
        (request("localhost:80", method="CONNECT"), "bad_target"),
        (request("/healthz/../echo"), "bad_target"),
        (request("/healthz", "Host : localhost"), "malformed_request"),
        (b"GET /healthz\r\n\r\n", "malformed_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_target"),
        (b"\x00\r\n\r\n", "malformed_request"),
    ):
        with subtests.test(data=data):
            await refused(server, await ask(server, data), 400, error)


@pytest.mark.parametrize("path", ["/echo", "/healthz", "/chat/<name:str>", "/chat/<room:str>"])
async def test_path_that_is_taken(serving: Callable, plugin: Callable, path: str) -> None:
    """A plugin whose path is a route's, or the gateway's own, keeps the gateway from starting."""

    def blueprints() -> list[Blueprint]:
        blueprint = Blueprint("thief")

        @blueprint.get(path)
        async def answer(_: Request, **params: str) -> HTTPResponse:
            return text(str(params))

        return [blueprint]

    with pytest.raises(PathTakenError, match="`gateway check` says which: "):
        async with serving(ROUTES, plugins=[plugin(blueprints=blueprints)]):
            pass
