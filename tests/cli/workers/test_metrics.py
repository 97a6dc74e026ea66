"""Tests of the figures of several workers: of all whichever is asked, and nothing counted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
from many import Figures, read_figures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OPENED = ("gateway_connections_opened_total", "/crew")
IN = ("gateway_messages_total", "in")
PATIENCE_SECONDS = 20


class Reader:
    """Who reads again and again, and sees to it that no counter falls."""

    def __init__(self, crew: Any) -> None:
        self.crew = crew
        self.last: Figures = {}
        self.times = 0

    async def read(self) -> Figures:
        """Read once."""
        figures = await read_figures(self.crew.address)
        for key, value in self.last.items():
            if key[0].endswith("_total"):
                assert figures[key] >= value, key
        self.last = figures
        self.times += 1
        return figures

    async def until(self, condition: Callable[[Figures], object]) -> Figures:
        """Read until a condition holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(figures := await self.read()):
                await asyncio.sleep(0.005)
        return figures


async def test_any_worker_tells_of_all(crew: Callable[..., Awaitable[Any]]) -> None:
    """Each worker gives the sum over both, and what is each one's own by its number.

    While one worker's loop is blocked, the other gives the figures of both, as last told.
    """
    gateway = await crew("worker_hang_seconds: 300", more="metrics: {public: true}")
    reader = Reader(gateway)
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        for client in clients.values():
            await client.send("hello")
            assert await client.recv() == "hello"
        figures = await reader.until(lambda figures: figures[IN] == 2)
        opened = figures[OPENED]
        assert opened >= 2
        assert {key[1] for key in figures if key[0] == "gateway_worker_ready"} == {"0", "1"}
        assert figures["gateway_max_connections",] == 20_000
        own = [figures["gateway_worker_connections", number] for number in "01"]
        assert sum(own) == figures["gateway_connections", "/crew"] == opened
        assert min(own) >= 1
        # Each TCP connection may reach the other worker; all of them say the same.
        for _ in range(20):
            assert (await reader.read())[OPENED] == opened

        await next(iter(clients.values())).send("hang")
        await gateway.run.until(lambda: "hanging" in gateway.run.printed)
        for _ in range(100):
            try:
                async with asyncio.timeout(0.5):
                    figures = await read_figures(gateway.address)
            except TimeoutError:
                continue  # this TCP connection has reached the one that hangs
            assert figures[OPENED] == opened
            break
        else:
            raise AssertionError
        for pid in gateway.workers.values():
            os.kill(pid, signal.SIGKILL)


async def test_what_a_killed_worker_has_counted_stays(crew: Callable[..., Awaitable[Any]]) -> None:
    """No counter falls while one worker is killed, another drained, and both are replaced.

    Clients of the one that somebody has ended are told to come back.
    """
    gateway = await crew(more="metrics: {public: true}")
    reader = Reader(gateway)
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        for client in clients.values():
            for _ in range(5):
                await client.send("hello")
                assert await client.recv() == "hello"
        before = await reader.until(lambda figures: figures[IN] == 10)

        async def go_on() -> None:
            while True:
                # A TCP connection may be to the worker that is killed, and wait there for the next one.
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(0.5):
                        await reader.read()

        times = reader.times
        for slot, how in ((0, signal.SIGKILL), (1, signal.SIGTERM)):
            reading = asyncio.create_task(go_on())
            former = gateway.workers[slot]
            os.kill(former, how)
            await clients[former].wait_closed()
            assert clients[former].close_code == (1012 if how == signal.SIGTERM else 1006)
            await gateway.replaced(slot, former)
            await gateway.gone(former)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        assert reader.times > times
        after = await reader.until(lambda figures: figures["gateway_workers_ended_total",] == 2)
    assert after[IN] == before[IN] == 10
    assert after[OPENED] == before[OPENED]
    # The connections themselves went with their workers.
    assert after["gateway_connections", "/crew"] == 0
    # The one that drained has told the ends of its connections with its last words.
    assert after["gateway_connections_closed_total", "gateway", "1012"] >= 1
