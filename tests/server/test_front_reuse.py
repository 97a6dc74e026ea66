"""Tests of the front: one TCP connection that carries HTTP requests and then an opening handshake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint
from sanic.response import HTTPResponse, empty, raw

from gateway import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from sanic import Request

ROUTES = """
api: {max_body_bytes: 300000}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade, close", "sec_websocket_version": "13"}


class Site:
    """A plugin that answers plain HTTP."""

    def __init__(self) -> None:
        self.waiting = 0
        self.answers = asyncio.Event()

    @hookimpl
    def gateway_blueprints(self) -> list[Blueprint]:
        """Give a path that mirrors bodies, one that waits, one that streams, and one that does not read."""
        blueprint = Blueprint("site")

        @blueprint.post("/mirror")
        async def mirror(request: Request) -> HTTPResponse:
            return raw(request.body)

        @blueprint.get("/wait")
        async def wait(_: Request) -> HTTPResponse:
            self.waiting += 1
            await self.answers.wait()
            return empty()

        @blueprint.get("/stream")
        async def stream(request: Request) -> None:
            response = await request.respond(headers={"content-length": "3"})
            for letter in "abc":
                await response.send(letter)
            await response.eof()
            # The answer is whole, and the handler is not: what comes next belongs to the next request.
            self.waiting += 1
            await self.answers.wait()

        @blueprint.post("/unread", stream=True)
        async def unread(_: Request) -> HTTPResponse:
            return raw(b"unread", status=400)

        return [blueprint]


@pytest.fixture
async def site() -> Site:
    """A plugin that answers plain HTTP."""
    return Site()


@pytest.fixture
async def server(start: Callable, site: Site) -> Any:
    """Serve a route, and plain HTTP beside it."""
    return await start(ROUTES, plugins=[site])


def post(path: str, body: bytes, *lines: str) -> bytes:
    """Write a POST request."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *(lines or [f"Content-Length: {len(body)}"]), "", ""]
    return "\r\n".join(head).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """Write a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


async def test_http_and_then_a_connection(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, pending: Callable, alive: Callable
) -> None:
    """A TCP connection that has served requests becomes a connection, and Sanic forgets it."""
    wire = await ask(server, REQUEST)
    for _ in range(3):
        answer = await wire.answer()
        assert (answer.status, answer.json, answer.headers["connection"]) == (
            200,
            {"status": "ok"},
            "keep-alive",
        )
        assert pending(server) == 0
        wire.send(REQUEST)
    await wire.answer()
    assert alive("SanicProtocol") == 1
    wire.send(opening())
    await accepted(wire)
    assert server.gateway._listener._server.connections == set()
    assert alive("SanicProtocol", "FrontProtocol", "Http", "_SanicHttp") == 0


async def test_next_header_in_pieces(
    server: Any, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """The headers behind the first request may be cut anywhere as well."""
    wire = await ask(server, REQUEST)
    await wire.answer()
    for data in (REQUEST, opening()):
        for value in data:
            wire.send(bytes([value]))
            await asyncio.sleep(0)
        if data == REQUEST:
            assert (await wire.answer()).status == 200
    await accepted(wire)


async def test_refused_on_a_reused_tcp_connection(
    server: Any, ask: Callable, opening: Callable, refused: Callable, alive: Callable, until: Callable
) -> None:
    """A refusal behind requests ends TCP as any other does, and leaves nothing behind."""
    for data, status, error in (
        (opening(sec_websocket_key="short"), 400, "bad_key"),
        (opening("/nothing"), 404, "not_found"),
        (opening(origin="https://example.com"), 403, "origin_not_allowed"),
        (opening() + b"early", 400, "early_data"),
        (opening(method="POST"), 405, "method_not_allowed"),
        (b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, "malformed_request"),
        (b"\x16", 400, "malformed_request"),
        (b"x" * 10_000, 431, "headers_too_large"),
    ):
        wire = await ask(server, REQUEST)
        assert (await wire.answer()).status == 200
        wire.send(data)
        await refused(server, wire, status, error)
    await until(lambda: alive("FrontProtocol", "SanicProtocol") == 0)
    assert server.gateway._listener._server.connections == set()


async def test_refused_behind_head(server: Any, ask: Callable, refused: Callable) -> None:
    """That one request wants no body of its answer does not go for the next."""
    wire = await ask(server, REQUEST.replace(b"GET", b"HEAD"))
    assert (await wire.answer(has_body=False)).headers["connection"] == "keep-alive"
    wire.send(b"junk\r\n\r\n")
    await refused(server, wire, 400, "malformed_request")


async def test_pipelined_requests(server: Any, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """Requests that do not await each other's answers are answered in their order."""
    wire = await ask(server, REQUEST + post("/mirror", b"one") + post("/mirror", b"two") + REQUEST[:20])
    assert (await wire.answer()).json == {"status": "ok"}
    assert (await wire.answer()).body == b"one"
    assert (await wire.answer()).body == b"two"
    wire.send(REQUEST[20:])
    assert (await wire.answer()).json == {"status": "ok"}
    wire.send(opening())
    await accepted(wire)


async def test_pipelined_opening(
    server: Any, ask: Callable, opening: Callable, refused: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    """An opening handshake that did not await the answer before it gets its own answer, never 101."""
    for before in (
        REQUEST,
        post("/mirror", b"body"),
        post("/mirror", chunked(b"body"), "Transfer-Encoding: chunked"),
    ):
        wire = await ask(server, before + opening())
        assert (await wire.answer()).status == 200
        await refused(server, wire, 400, "early_data")
    wire = await ask(server, REQUEST + opening(upgrade=None))
    assert (await wire.answer()).status == 200
    await refused(server, wire, 426, "upgrade_required", **UPGRADE)
    assert caplog.text == ""


async def test_opening_while_a_request_is_handled(
    server: Any, ask: Callable, opening: Callable, refused: Callable, site: Site, until: Callable
) -> None:
    """The same holds where the answer before it takes its time."""
    wire = await ask(server, b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: site.waiting == 1)
    wire.send(opening())
    other = await ask(server, REQUEST)
    await other.answer()
    site.answers.set()
    assert (await wire.answer()).status == 204
    await refused(server, wire, 400, "early_data")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Space : x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Folded: x\r\n y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\nX-Bare: x\r\n\r\n",
    ],
)
async def test_pipelined_head_is_judged(server: Any, ask: Callable, refused: Callable, data: bytes) -> None:
    """Sanic's forgiving parser gets no header that was not judged before, wherever it stands."""
    wire = await ask(server, REQUEST + data)
    assert (await wire.answer()).status == 200
    await refused(server, wire, 400, "malformed_request")


async def test_request_behind_connection_close(server: Any, ask: Callable, opening: Callable) -> None:
    """After an answer that ends TCP nothing more is read."""
    for data in (REQUEST, opening()):
        wire = await ask(
            server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" + data
        )
        assert (await wire.answer()).headers["connection"] == "close"
        assert await wire.cut() == b""
    assert server.node.metrics.connections_opened == 0


async def test_half_a_header_behind_a_request(
    start: Callable, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """The deadline is that of a new TCP connection, and a trickle does not move it."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.5})

    async def begin(data: bytes, more: bytes = b"") -> None:
        wire = await ask(server, REQUEST)
        assert (await wire.answer()).status == 200
        wire.send(data)
        if more:
            await wire.trickle(more)
        await refused(server, wire, 408, "timeout")

    await asyncio.gather(begin(b"GET /e"), begin(opening()[:-2]), begin(opening()[:-2], b"X: y\r\n" * 500))


async def test_body(server: Any, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """A body is Sanic's, however it is cut, and what comes behind it is the next request."""
    large = bytes(range(256)) * 1000
    wire = await ask(server, post("/mirror", large))
    assert (await wire.answer()).body == large
    for value in post("/mirror", REQUEST):
        wire.send(bytes([value]))
        await asyncio.sleep(0)
    assert (await wire.answer()).body == REQUEST
    wire.send(post("/mirror", chunked(b"GET ", b"/echo", b" HTTP/1.1\r\n\r\n"), "Transfer-Encoding: chunked"))
    assert (await wire.answer()).body == b"GET /echo HTTP/1.1\r\n\r\n"
    for value in post("/mirror", chunked(b"in", b"pieces"), "Transfer-Encoding: chunked"):
        wire.send(bytes([value]))
        await asyncio.sleep(0)
    assert (await wire.answer()).body == b"inpieces"
    wire.send(post("/mirror", b"", "Content-Length: 4", "Expect: 100-continue"))
    async with asyncio.timeout(10):
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"body")
    assert (await wire.answer()).body == b"body"
    wire.send(opening())
    await accepted(wire)


async def test_body_that_looks_like_an_opening(server: Any, ask: Callable, opening: Callable) -> None:
    """An opening handshake within a body is a body."""
    wire = await ask(server, post("/mirror", opening()))
    assert (await wire.answer()).body == opening()
    wire.send(post("/mirror", b"", f"Content-Length: {len(opening())}"))
    wire.send(opening())
    assert (await wire.answer()).body == opening()
    assert server.node.metrics.connections_opened == 0


async def test_body_that_nobody_reads(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, until: Callable
) -> None:
    """What a handler leaves of a body is not taken for the next request, whenever it comes."""
    wire = await ask(server, post("/unread", opening()))
    assert (await wire.answer()).body == b"unread"
    wire.send(post("/unread", b"", f"Content-Length: {len(opening())}"))
    assert (await wire.answer()).body == b"unread"
    wire.send(opening())
    wire.send(post("/mirror", b"next"))
    assert (await wire.answer()).body == b"next"
    assert server.node.metrics.connections_opened == 0
    wire.send(opening())
    await accepted(wire)
    await until(lambda: len(server.node.hub) == 1)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Content-Length: +4"],
        ["Content-Length: 4, 4"],
        ["Content-Length: 0x4"],
        ["Content-Length: \u0664"],
        ["Content-Length:"],
    ],
    ids=" ".join,
)
async def test_body_of_two_lengths(server: Any, ask: Callable, refused: Callable, lines: list[str]) -> None:
    """A body whose length two readers could read differently is refused (RFC 9112 section 6.3)."""
    await refused(server, await ask(server, post("/mirror", b"4444", *lines)), 400, "malformed_request")


async def test_upgrade_while_the_handler_before_it_still_runs(
    server: Any,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    site: Site,
    until: Callable,
    alive: Callable,
) -> None:
    """A handler that has sent its whole answer and goes on does not keep TCP from becoming a connection."""
    wire = await ask(server, b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await wire.answer()).body == b"abc"
    await until(lambda: site.waiting == 1)
    wire.send(opening())
    await accepted(wire)
    await until(lambda: alive("SanicProtocol") == 0)


async def test_timers_of_sanic(server: Any, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """None of Sanic's timeouts ends a connection that was once Sanic's."""
    timeouts = ("KEEP_ALIVE_TIMEOUT", "RESPONSE_TIMEOUT", "REQUEST_TIMEOUT")
    server.gateway.app.config.update(dict.fromkeys(timeouts, 0.5))
    wire = await ask(server, REQUEST)
    assert (await wire.answer()).status == 200
    wire.send(opening())
    await accepted(wire)
    # Whoever stays with Sanic from now on is cut, so that the time for it has passed.
    others = [await ask(server, data) for data in (REQUEST, REQUEST.replace(b"/healthz", b"/wait"))]
    for other in others:
        await other.answer()
        await other.cut()
    assert server.node.metrics.connections == 1
    wire.send(b"\x81\x80\x00\x00\x00\x00")
    assert await asyncio.wait_for(wire.reader.readexactly(2), 10) == b"\x81\x00"


async def test_peer_that_leaves_during_a_request(
    server: Any, ask: Callable, site: Site, until: Callable, alive: Callable
) -> None:
    """A client that goes while its request is handled leaves nothing behind, and no error."""
    wire = await ask(server, b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: site.waiting == 1)
    await wire.close()
    await until(lambda: alive("FrontProtocol", "SanicProtocol") == 0)
    assert [line for line in server.log if line["level"] == "error"] == []


async def test_stop_ends_idle_tcp_connections(
    serving: Callable, start: Callable, dial: Callable, opening: Callable
) -> None:
    """A stop ends what is kept alive, what is silent, and what has sent half a header, which is told so."""
    del start
    async with serving(ROUTES) as server:
        idle, again, silent, half = [await dial(server) for _ in range(4)]
        for wire in (idle, again):
            wire.send(REQUEST)
            assert (await wire.answer()).status == 200
        half.send(opening()[:20])
        again.send(REQUEST[:20])
        other = await dial(server)  # an answer here shows that the rest was read
        other.send(REQUEST)
        assert (await other.answer()).status == 200
    for wire in (half, again):
        answer = await wire.answer()
        assert (answer.status, answer.json["error"]) == (503, "draining")
    for wire in (idle, again, silent, half, other):
        assert await wire.cut() == b""
