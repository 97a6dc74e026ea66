"""Tests of the listener: binding, starting, stopping, and real clients of both kinds."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from sanic import Blueprint, Sanic
from sanic.response import HTTPResponse, empty
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.server.sockets import bind

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from sanic import Request

ECHO = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    subprotocols: [chat.v2, chat.v1]
"""


@pytest.fixture
def options(secure: bool, client_tls: ssl.SSLContext) -> dict[str, Any]:
    """What the clients' libraries are told of TLS."""
    return {"ssl": client_tls} if secure else {}


async def test_websockets(start: Callable, options: dict[str, Any]) -> None:
    """A client of the library `websockets` gets its messages back, text as text and binary as binary."""
    server = await start(ECHO)
    async with server.connect("/echo", **options) as client:
        assert client.subprotocol is None
        for message in ("hello", "", "接收到客户端的消息", b"\x00\xff", b"", "x" * 65536):
            await client.send(message)
            assert await client.recv() == message
        await asyncio.wait_for(await client.ping(), 10)
    assert client.close_code == 1000


async def test_websockets_negotiates_a_subprotocol(start: Callable, options: dict[str, Any]) -> None:
    """The server's preference among the client's offers holds, and no offer that fits is none."""
    server = await start(ECHO)
    for offers, chosen in ((["chat.v1", "chat.v2"], "chat.v2"), (["other"], None)):
        async with server.connect("/echo", subprotocols=offers, **options) as client:
            assert client.subprotocol == chosen


async def test_websockets_is_refused(start: Callable, options: dict[str, Any]) -> None:
    """A refusal is an ordinary HTTP response to the client's library."""
    server = await start(ECHO)
    with pytest.raises(InvalidStatus) as caught:
        await server.connect("/nothing", **options)
    assert caught.value.response.status_code == 404
    assert b"not_found" in caught.value.response.body


async def test_aiohttp(start: Callable, options: dict[str, Any]) -> None:
    """A client of the library `aiohttp` does as well, and negotiates a subprotocol."""
    server = await start(ECHO)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.http_url("/echo"), protocols=["chat.v1"], **options) as client,
    ):
        assert client.protocol == "chat.v1"
        await client.send_str("hello")
        assert (await client.receive()).data == "hello"
        await client.send_bytes(b"\x00\xff")
        assert (await client.receive()).data == b"\x00\xff"
    assert client.close_code == 1000


async def test_aiohttp_reuses_its_tcp_connection(start: Callable, options: dict[str, Any]) -> None:
    """A client that reuses its TCP connection opens a WebSocket on it after a plain request."""
    server = await start(ECHO)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        async with session.get(server.http_url("/healthz"), **options) as answer:
            assert answer.status == 200
            await answer.read()
        async with session.ws_connect(server.http_url("/echo"), **options) as client:
            await client.send_str("same socket")
            assert (await client.receive()).data == "same socket"
    assert server.node.metrics.connections_opened == 1


async def test_fixture_serves(serve_gateway: Callable) -> None:
    """The fixture for plugin authors serves at once, plain, on a free port."""
    server = await serve_gateway(ECHO)
    async with connect(server.url("/echo")) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_stop_frees_the_port_and_forgets_sanic(serving: Callable) -> None:
    """After a stop the port can be had again, and Sanic's registry of applications is as before."""
    before = set(Sanic._app_registry)
    async with serving(ECHO) as server:
        port = server.port
        assert set(Sanic._app_registry) > before
    with closing(bind("127.0.0.1", port, 10)):
        pass
    assert set(Sanic._app_registry) == before


async def test_port_answers_until_the_drain_is_over(
    serving: Callable, start: Callable, dial: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """While connections are drained who knocks is told to come again; after that nobody answers."""
    del start
    async with serving(ECHO) as server:
        wire = await ask(server, opening())
        await accepted(wire)
        stopping = asyncio.create_task(server.gateway.stop())
        assert await wire.reader.readexactly(4) == b"\x88\x13\x03\xe9"
        answer = await (await ask(server, opening())).answer()
        assert (answer.status, answer.json["error"]) == (503, "draining")
        assert not stopping.done()
        wire.send(b"\x88\x82\x00\x00\x00\x00\x03\xe9")
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await dial(server)


async def test_blueprints_that_clash_by_name(serving: Callable, plugin: Callable) -> None:
    """Two routes of one name keep the gateway from starting, and what was started is ended."""

    def blueprints() -> list[Blueprint]:
        blueprint = Blueprint("site")

        async def answer(_: Request) -> HTTPResponse:
            return empty()

        blueprint.add_route(answer, "/one", name="same")
        blueprint.add_route(answer, "/two", name="same")
        return [blueprint]

    before = set(Sanic._app_registry)
    stopped: list[str] = []
    with pytest.raises(Exception, match="Duplicate route names"):
        async with serving(
            ECHO, plugins=[plugin(blueprints=blueprints, stop=lambda: stopped.append("stopped"))]
        ):
            pass
    assert stopped == ["stopped"]
    assert set(Sanic._app_registry) == before
