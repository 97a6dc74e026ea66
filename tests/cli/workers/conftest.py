from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

PATIENCE_SECONDS: Final = 30

# The module of clients is none of a package.
sys.path.insert(0, str(Path(__file__).parent))

# A handler that tells who serves, and does what it is told to.
SOURCE: Final = """
    import asyncio
    import os
    import pathlib
    import time

    import gateway

    class Crew(gateway.Handler):
        def on_open(self, connection):
            connection.join("crew")
            connection.send(str(os.getpid()))

        def on_message(self, connection, message):
            if message == "hang":
                print("hanging", flush=True)
                while True:
                    time.sleep(0.1)
            elif message.startswith("all "):
                connection.publish("crew", message)
            else:
                connection.send(message)

    @gateway.hookimpl
    def gateway_handlers():
        return {"crew": Crew}

    @gateway.hookimpl
    async def gateway_start():
        if pathlib.Path("fail").exists():
            raise OSError("told to fail")
        if pathlib.Path("wait").exists():
            print("waiting", flush=True)
            await asyncio.Event().wait()
"""

YAML: Final = """
    plugins: {{live: {{enabled: false}}}}
    listen: {{{listen}}}
    routes:
      - {{path: /crew, allow_missing_origin: true, handlers: [crew]}}
"""


def lives(pid: int) -> bool:
    """Tell whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that no line of output tells of."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


class Crew:
    """A gateway with several workers.

    Attributes:
        run: The supervisor, as a `Running`.
        address: Where it listens.
    """

    def __init__(self, run: Any, address: tuple[str, int]) -> None:
        self.run = run
        self.address = address

    def connect(self) -> connect:
        """Open a connection; its first message is the process id of the worker."""
        return connect(f"ws://127.0.0.1:{self.address[1]}/crew", proxy=None)

    def started(self, event: str) -> list[int]:
        """Give the process ids of all that have started so far, in this order."""
        return [line["pid"] for line in self.run.events if line["event"] == event]

    @property
    def workers(self) -> dict[int, int]:
        """The newest worker of each slot, by its process id."""
        return {line["worker"]: line["pid"] for line in self.run.events if line["event"] == "worker_started"}

    @property
    def pids(self) -> list[int]:
        """The process ids of all processes of the gateway."""
        return [self.run.process.pid, *self.workers.values(), *self.started("embedded_broker_started")[-1:]]

    async def replaced(self, slot: int, former: int) -> int:
        """Wait until a slot has another worker; give its process id."""
        await self.run.until(lambda: self.workers[slot] != former)
        return self.workers[slot]

    async def one_of_each(self, stack: Any) -> dict[int, Any]:
        """Open connections until there is one to each worker; give them by the workers' process ids."""
        found: dict[int, Any] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while found.keys() < set(self.workers.values()):
                client = await stack.enter_async_context(self.connect())
                found.setdefault(int(await client.recv()), client)
        return found

    async def reaches(self, sender: Any, receiver: Any) -> None:
        """Wait until a publication from one connection reaches another, and has reached the first itself."""
        arriving = asyncio.ensure_future(receiver.recv())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not arriving.done():
                await sender.send("all hello")
                assert await sender.recv() == "all hello"
                await asyncio.wait({arriving}, timeout=0.05)
        assert await arriving == "all hello"

    async def gone(self, pid: int) -> None:
        """Wait until a process lives no longer."""
        await until(lambda: not lives(pid))

    async def all_gone(self, pids: Collection[int] = ()) -> None:
        """Wait until no process of it is left; then check that the port is free."""
        await until(lambda: not any(map(lives, (*self.pids, *pids))) and not self.run.session())
        with socket.create_server(self.address):
            pass


@pytest.fixture
async def crew(
    folder: Path,
    install: Callable[..., None],
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Crew]]:
    """A function that starts a gateway, with more settings of `listen`, or `more` sections.

    It has two workers unless it is told. What it started has ended when the test has, by the fixture `run`.
    """
    install("crew-plugin", "crew", SOURCE)

    async def crew(*settings: str, workers: int = 2, ready: bool = True, more: str = "") -> Crew:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        listen = (f"workers: {workers}", "drain_seconds: 0", f"port: {address[1]}", *settings)
        write(YAML.format(listen=", ".join(listen)) + f"    {more}\n")
        # What a gateway leaves that is killed goes with the folder.
        gateway = Crew(await run(environ={"TMPDIR": str(folder)}), address)
        if ready:
            await gateway.run.printed_lines(1)
        return gateway

    return crew
