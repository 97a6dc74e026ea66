"""Tests of a gateway that runs out of descriptors or memory: who is there is served, and others later."""

from __future__ import annotations

import asyncio
import re
import resource
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 20
DESCRIPTORS = 96
FOR_CLIENTS = 90

# Takes what it is told to, of this and of that.
SOURCE = """
    import os

    import gateway

    taken = []

    class Greedy(gateway.Handler):
        async def on_message(self, connection, message):
            if message == "files":
                try:
                    while True:
                        taken.append(os.dup(0))
                except OSError as exc:
                    connection.send(exc.strerror)
            elif message == "back":
                while taken:
                    os.close(taken.pop())
                connection.send("given back")
            elif message == "memory":
                connection.send(bytes(2**32))
            else:
                connection.send(message)

    @gateway.hookimpl
    def gateway_handlers():
        return {"greedy": Greedy}
"""
YAML = """
    plugins: {live: {enabled: false}}
    listen: {port: 0, drain_seconds: 0}
    admin: {port: 8001}
    metrics: {public: true}
    routes: [{path: /greedy, allow_missing_origin: true, handlers: [greedy]}]
"""


class Gateway:
    """A gateway that runs, and clients that stay."""

    def __init__(self, running: Any, admin: str, worker: int, stack: AsyncExitStack) -> None:
        self.running = running
        self.worker = worker
        self.clients: list[Any] = []
        self._admin = admin
        self._stack = stack

    async def connect(self) -> Any:
        """Have another client."""
        url = f"ws://127.0.0.1:{self.running.port}/greedy"
        client = await self._stack.enter_async_context(connect(url, proxy=None, ping_interval=None))
        self.clients.append(client)
        return client

    async def see_all_served(self) -> None:
        """See that each of its clients gets an answer."""
        for client in self.clients:
            await client.send("here")
            assert await client.recv() == "here"

    async def figure(self, name: str) -> float:
        """Give a figure, as operators are given it."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"{self._admin}/metrics", headers={"Connection": "close"})).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])

    @property
    def files(self) -> int:
        """How many descriptors the worker has."""
        return len(list(Path(f"/proc/{self.worker}/fd").iterdir()))

    @property
    def address_space(self) -> int:
        """How many bytes of it the worker has."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        size = re.search(r"^VmSize:\s+(\d+) kB", status, re.MULTILINE)
        assert size is not None
        return int(size[1]) * 1024

    async def fill(self, number: int) -> None:
        """Have more clients, until the worker has so many descriptors."""
        while self.files < number:
            await self.connect()

    async def knock(self) -> bytes:
        """Be a client that is turned away: give what comes, before anything is said."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.running.port)
            with closing(writer), suppress(ConnectionResetError):
                return await reader.read()
        return b""

    async def room(self, number: int) -> None:
        """Wait until the worker has fewer descriptors than this; then have another client."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.files >= number:
                await asyncio.sleep(0.01)
        await self.connect()

    async def counted(self) -> None:
        """Wait until a figure says that descriptors were short; workers tell theirs once a second."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.figure('gateway_limits_total{limit="open_files"}') < 1:
                await asyncio.sleep(0.05)

    def limit(self, kind: int, number: int) -> None:
        """Set a limit of the worker."""
        resource.prlimit(self.worker, kind, (number, resource.prlimit(self.worker, kind)[1]))


@pytest.fixture
async def gateway(
    run: Callable[..., Awaitable[Any]],
    write: Callable[[str], Path],
    install: Callable[[str, str, str], None],
) -> Any:
    """A gateway with one worker, operators' listener and the greedy handler."""
    install("greedy-plugin", "greedy", SOURCE)
    write(YAML)
    async with AsyncExitStack() as stack:
        running = await run("--admin-port", "0")
        admin = (await running.printed_lines(2))[-1].split()[1].removesuffix("/admin")
        worker = (await running.logged("worker_started"))["pid"]
        yield Gateway(running, admin, worker, stack)


async def test_clients_take_all_descriptors(gateway: Gateway) -> None:
    """Newcomers are refused while few are left, and told of; operators get in; then there is room again."""
    gateway.limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    await gateway.fill(FOR_CLIENTS)
    for _ in range(10):
        answer = await gateway.knock()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"too_many_connections"' in answer
    line = await gateway.running.logged("out_of_descriptors")
    assert (line["level"], line["limit"], line["connections"]) == ("error", DESCRIPTORS, len(gateway.clients))
    assert (await gateway.running.logged("openings_turned_away"))["too_many_connections"] == 1
    await gateway.counted()
    await gateway.see_all_served()

    for client in gateway.clients[:5]:
        await client.close()
    del gateway.clients[:5]
    await gateway.room(FOR_CLIENTS - 4)
    await gateway.see_all_served()


async def test_an_operator_raises_the_limit(gateway: Gateway) -> None:
    """Who was refused is let in by a process whose limit has been raised while it ran."""
    gateway.limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    await gateway.fill(FOR_CLIENTS)
    assert (await gateway.knock()).startswith(b"HTTP/1.1 503 ")
    gateway.limit(resource.RLIMIT_NOFILE, 2 * DESCRIPTORS)
    for _ in range(DESCRIPTORS // 2):
        await gateway.connect()
    await gateway.see_all_served()


async def test_a_plugin_takes_all_descriptors(gateway: Gateway) -> None:
    """Nobody can be accepted, and the log says so; clients are served, and others let in when it is over."""
    greedy, *_ = [await gateway.connect() for _ in range(5)]
    gateway.limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    await greedy.send("files")
    assert await greedy.recv() == "Too many open files"
    for _ in range(20):
        assert await gateway.knock() == b""
    assert (await gateway.running.logged("out_of_descriptors"))["connections"] == 5
    await gateway.see_all_served()

    await greedy.send("back")
    assert await greedy.recv() == "given back"
    await gateway.room(FOR_CLIENTS)
    await gateway.see_all_served()
    await gateway.counted()


async def test_a_handler_gets_no_memory(gateway: Gateway) -> None:
    """At the process's limit of memory the event that asked for it fails, and nobody else notices."""
    for _ in range(5):
        await gateway.connect()
    gateway.limit(resource.RLIMIT_AS, gateway.address_space + 2**26)
    greedy = await gateway.connect()
    gateway.clients.remove(greedy)
    await greedy.send("memory")
    with pytest.raises(ConnectionClosed):
        await greedy.recv()
    assert greedy.close_code == 1011
    line = await gateway.running.logged("handler_failed")
    assert line["level"] == "error"
    assert "MemoryError" in str(line)
    await gateway.see_all_served()
    await gateway.connect()
    await gateway.see_all_served()
