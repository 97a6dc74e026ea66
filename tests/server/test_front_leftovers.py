"""Tests of the front: nothing stays of TCP connections that have ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    groups: ["all"]
"""
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
KINDS = ("FrontProtocol", "SanicProtocol", "_SanicHttp", "SocketConnection", "FrameReader", "RequestHead")


async def test_a_thousand_connections(
    start: Callable,
    dial: Callable,
    opening: Callable,
    accepted: Callable,
    until: Callable,
    pending: Callable,
    alive: Callable,
) -> None:
    """A thousand connections that open, and end one way or the other, leave no object and no deadline."""
    server = await start(ROUTES, listen={"max_connections": 10})

    async def visit(number: int) -> None:
        wire = await dial(server)
        if number % 3 == 0:
            wire.send(REQUEST)
            assert (await wire.answer()).status == 200
        wire.send(opening())
        await accepted(wire)
        if number % 2:
            wire.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
            assert await wire.rest() == b"\x88\x02\x03\xe8"
        await wire.close()

    async def visit_one_after_another(first: int) -> None:
        for number in range(first, 1000, 8):
            await visit(number)

    await asyncio.gather(*(visit_one_after_another(first) for first in range(8)))
    await until(lambda: server.node.sockets == set())
    await until(lambda: pending(server) == 0)
    assert server.node.metrics.connections_opened == 1000
    assert server.node.metrics.closes == {1000: 500, 1006: 500}
    assert (server.node.hub.groups, server.node.connections()) == ((), ())
    assert server.gateway._listener._server.connections == set()
    assert server.gateway._listener._gate.arrivals._fronts == set()
    await until(lambda: alive(*KINDS) == 0)


async def test_refusals_and_requests(
    start: Callable, dial: Callable, opening: Callable, until: Callable, pending: Callable, alive: Callable
) -> None:
    """Neither refused opening handshakes nor requests leave anything behind."""
    server = await start(ROUTES)

    async def visit(data: bytes) -> None:
        wire = await dial(server)
        wire.send(data)
        await wire.answer()
        await wire.close()

    for _ in range(20):
        await asyncio.gather(
            *(visit(data) for data in (REQUEST, opening("/nothing"), opening(host=None), b"x\r\n\r\n"))
        )
    await until(lambda: pending(server) == 0)
    await until(lambda: alive(*KINDS) == 0)
    assert server.gateway._listener._server.connections == set()
    assert server.gateway._listener._gate.arrivals._fronts == set()
