"""Tests of the front: a peer that has not read the last answer when the socket changes hands."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint
from sanic.response import HTTPResponse, raw

from gateway import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from sanic import Request

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    limits: {send_queue_bytes: 1000000, ping_interval_seconds: 0}
"""
LARGE = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
SIZE = 16_000_000  # more than the kernel's buffers hold for a peer that does not read


# Over TLS the first writes go through to TCP, whatever it keeps, and nobody is told to pause.
pytestmark = pytest.mark.parametrize("secure", [False], ids=["plain"])


class Site:
    """A plugin with a large answer."""

    @hookimpl
    def gateway_blueprints(self) -> list[Blueprint]:
        """Give one path."""
        blueprint = Blueprint("site")

        @blueprint.get("/large")
        async def large(_: Request) -> HTTPResponse:
            return raw(bytes(SIZE))

        return [blueprint]


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve a route, and the large answer beside it."""
    return await start(ROUTES, plugins=[Site()])


@pytest.fixture
def ask_slowly(ask: Callable, server: Any, until: Callable) -> Callable:
    """Give a function that asks for the large answer, and does not read it."""

    async def ask_slowly() -> Any:
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.setblocking(False)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire = await ask(server, LARGE, sock=slow)
        listener = server.gateway._listener._server
        await until(lambda: any(not item._can_write.is_set() for item in listener.connections))
        return wire

    return ask_slowly


async def test_answer_behind_one_that_was_not_read(
    server: Any, ask_slowly: Callable, until: Callable, pending: Callable
) -> None:
    """A peer that begins its next request before it reads gets both answers."""
    wire = await ask_slowly()
    wire.send(LARGE[:10])
    await until(lambda: pending(server) == 1)  # the socket is with the front
    assert len((await wire.answer()).body) == SIZE
    wire.send(LARGE[10:])
    assert len((await wire.answer()).body) == SIZE


async def test_connection_behind_an_answer_that_was_not_read(
    server: Any, ask_slowly: Callable, opening: Callable, accepted: Callable, until: Callable
) -> None:
    """A connection works as soon as its peer has read what lies before it."""
    wire = await ask_slowly()
    wire.send(opening())
    await until(lambda: len(server.node.hub) == 1)
    assert len((await wire.answer()).body) == SIZE
    await accepted(wire)


async def test_send_queue_is_bounded_from_the_first_byte(
    server: Any, ask_slowly: Callable, opening: Callable, until: Callable
) -> None:
    """What is sent to a connection whose peer has not begun to read counts against its limit at once."""
    wire = await ask_slowly()
    wire.send(opening())
    await until(lambda: len(server.node.hub) == 1)
    connection = server.node.connections()[0]
    before = connection._transport.get_write_buffer_size()
    for _ in range(40):
        connection.send(bytes(50_000))
        await asyncio.sleep(0)
    assert server.node.metrics.overflows == {"disconnect": 1}
    assert connection._transport.get_write_buffer_size() <= before
    await until(lambda: server.node.sockets == set())
