"""Tests of the listener: a served route, plain HTTP beside it, and a socket that goes back and forth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

ECHO = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""


async def test_echo(serve_gateway: Callable) -> None:
    """A message comes back, text as text and binary as binary."""
    server = await serve_gateway(ECHO)
    async with server.connect("/echo") as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        await client.send(b"\x00\xff")
        assert await client.recv() == b"\x00\xff"
    assert client.close_code == 1000


async def test_one_tcp_connection_serves_http_and_then_a_websocket(serve_gateway: Callable) -> None:
    """A client that reuses its TCP connection opens a WebSocket on it after a plain request."""
    server = await serve_gateway(ECHO)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(server.http_url("/healthz")) as answer:
            assert answer.status == 200
            await answer.read()
        async with session.ws_connect(server.http_url("/echo")) as client:
            await client.send_str("same socket")
            assert (await client.receive()).data == "same socket"
    assert server.node.metrics.connections_opened == 1
