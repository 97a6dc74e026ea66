"""Tests of how a drain spreads its closes over time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core import node
from gateway.core.socket_connection import SocketConnection

CONFIG = """
listen: {drain_seconds: 10}
routes: [{path: /t, allow_missing_origin: true}]
"""


class Turned:
    """A loop whose time goes by only when somebody sleeps; and `asyncio` for who sleeps by it.

    Args:
        loop: The loop for all else.
        late: By how much the first sleep is too long.
    """

    def __init__(self, loop: Any, late: float) -> None:
        self._loop = loop
        self._late = late
        self._now = loop.time()
        self._began = self._now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name, None) or getattr(asyncio, name)

    @property
    def passed(self) -> float:
        """The seconds since the beginning."""
        return round(self._now - self._began, 3)

    def time(self) -> float:
        """Give the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds go by, in which others have their turn."""
        self._now += seconds + self._late
        self._late = 0.0
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [0.0, 1.5])
@pytest.mark.parametrize(("code", "hand_over"), [(1001, False), (1012, True)])
async def test_a_drain_is_even(serve_gateway, open_raw, until, monkeypatch, code, hand_over, late) -> None:
    """Closes are spread evenly over `drain_seconds`, at a stop as at a reload; a late one delays no other."""
    server = await serve_gateway(CONFIG)
    clients = [await open_raw(server, "/t") for _ in range(5)]
    await until(lambda: len(server.node.hub) == len(clients))
    turned = Turned(server.node.loop, late)
    begun = []
    begin_close = SocketConnection.begin_close

    def begin(connection: SocketConnection, code: int, reason: str) -> None:
        begun.append((turned.passed, code))
        begin_close(connection, code, reason)

    monkeypatch.setattr(SocketConnection, "begin_close", begin)
    monkeypatch.setattr(server.node, "loop", turned)
    monkeypatch.setattr(node, "asyncio", turned)
    stopping = asyncio.create_task(server.gateway.stop(code, "it ends", hand_over=hand_over))
    for client in clients:
        assert await client.receive_close() == (code, "it ends")
        client.close(code)
    await stopping
    assert begun == [(0.0, code), (2.0 + late, code), (4.0, code), (6.0, code), (8.0, code)]
