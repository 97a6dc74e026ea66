"""Tests of a gateway under systemd, which is the test: what it hears, and a socket that outlives restarts."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from many import Connection, open_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

import pytest

PATIENCE_SECONDS = 30

YAML = """
    plugins: {{live: {{enabled: false}}}}
    listen: {{port: {port}, drain_seconds: {drain}}}
    routes: [{{path: /echo, allow_missing_origin: true, handlers: [echo]}}]
"""


class Manager:
    """Who is told what the gateway does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.told: list[dict[str, str]] = []

    async def until(self, key: str, value: str = "1") -> dict[str, str]:
        """Wait until the gateway tells something next; give all that it told with it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
                told = dict(line.split("=", 1) for line in data.decode().splitlines())
                self.told.append(told)
                if told.get(key) == value:
                    return told

    def forget(self) -> None:
        """Leave out what the gateway has told so far."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture
def manager(folder: Path) -> Iterator[Manager]:
    """Who is told."""
    manager = Manager(folder)
    yield manager
    manager.close()


async def come(address: tuple[str, int], opened: list[Connection], stopping: asyncio.Event) -> None:
    """Open connections, one after another, and keep them."""
    while not stopping.is_set():
        opened.append(await open_one(address, "/echo"))
        await asyncio.sleep(0.01)


async def test_a_restart_and_a_reload_refuse_nobody(
    write: Callable[[str], Path], run: Callable[..., Awaitable[Any]], manager: Manager
) -> None:
    """While systemd holds the socket, who comes during a restart waits and is served by the next gateway.

    So is who comes during a reload, and systemd hears of each step.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        address = held.getsockname()
        write(YAML.format(port=address[1], drain=0.2))
        opened: list[Connection] = []
        stopping = asyncio.Event()
        environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000"}
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(come(address, opened, stopping))
            for last in (False, True):
                former = len(opened)
                running = await run(held=held, environ=environ)
                assert (await manager.until("READY"))["STATUS"] == "1 worker serves"
                await manager.until("WATCHDOG")
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while len(opened) < former + 50:
                        await asyncio.sleep(0.01)
                if last:
                    await reload(running, manager)
                    stopping.set()
                else:
                    running.signal(signal.SIGTERM)
                    await manager.until("STOPPING")
                    assert await running.exit_status() == 0
                assert [line for line in running.events if line["level"] in {"warning", "error"}] == []
        assert [connection.refusal for connection in opened if connection.refusal] == []
        running.signal(signal.SIGTERM)
        assert await running.exit_status() == 0
        for connection in opened:
            await connection.ended
        assert {connection.code for connection in opened} == {1001, 1012}


async def reload(running: Any, manager: Manager) -> None:
    """Reload as systemd does, and hear of it."""
    before = time.monotonic_ns() // 1000
    running.signal(signal.SIGHUP)
    told = await manager.until("RELOADING")
    assert before < int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert (await manager.until("READY"))["STATUS"] == "1 worker serves"


@pytest.mark.parametrize(
    ("arguments", "reloaded"),
    [((), False), ((), True), (("--in-process",), False)],
    ids=["supervised", "reloaded", "in-process"],
)
async def test_it_lives_while_it_drains(
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
    manager: Manager,
    arguments: tuple[str, ...],
    reloaded: bool,
) -> None:
    """A drain longer than systemd waits for a sign of life is no silence, be it that of a former reload."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        address = held.getsockname()
        write(YAML.format(port=address[1], drain=600))
        environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "30000"}
        running = await run(*arguments, held=held, environ=environ)
        await manager.until("READY")
        opened = [await open_one(address, "/echo") for _ in range(3)]
        if reloaded:
            await reload(running, manager)
        running.signal(signal.SIGTERM)
        await manager.until("STOPPING")
        if reloaded:
            # The newer worker has no connection, and ends at once.
            *_, newer = [line["pid"] for line in running.events if line["event"] == "worker_started"]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while Path(f"/proc/{newer}").exists():  # noqa: ASYNC240 - no event says so
                    await asyncio.sleep(0.01)
            manager.forget()
        for _ in range(5):
            await manager.until("WATCHDOG")
        assert sum(connection.ended.done() for connection in opened) < len(opened)
        running.signal(signal.SIGTERM)
        assert await running.exit_status() == 1
        for connection in opened:
            await connection.ended


@pytest.mark.parametrize(
    ("listen", "fact"),
    [
        ("port: 1", "it is 127.0.0.1:{port}, and listen says port 1"),
        ("unix: gateway.sock", "it is 127.0.0.1:{port}, and listen says unix:gateway.sock"),
    ],
)
async def test_a_socket_that_does_not_fit(
    write: Callable[[str], Path], run: Callable[..., Awaitable[Any]], listen: str, fact: str
) -> None:
    """A socket of another address than the file's is refused in words."""
    write(f"listen: {{{listen}}}")
    with socket.create_server(("127.0.0.1", 0)) as held:
        running = await run(held=held)
        assert await running.exit_status() == 1
        port = held.getsockname()[1]
        assert running.log == [f"cannot listen on the socket from systemd: {fact.format(port=port)}"]
