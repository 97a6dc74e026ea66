"""The gateway and its peers: how each is started, and a running one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.errors import BenchError
from harness.machine import cpu_seconds, pinned, private_bytes, processes_of_session, wait_for
from harness.recipes import PEERS, Recipe, compiled, debian, folder_of, npm, venv

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 10.0
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """A server that answers some of the routes of `gateway.yaml` as these describe them.

    Args:
        name: what `--server` and the tables call it.
        command: the program and its arguments; `{port}` is its port, `{folder}` the peer's folder.
        routes: the routes that it answers.
        recipe: how its folder is made; `None`: it runs in the project's own virtual environment.
        always: whether it runs without `--peers all`, since it is had in no time.
    """

    name: str
    command: tuple[str, ...]
    routes: tuple[str, ...] = ("/echo", "/fan", "/idle")
    recipe: Recipe | None = None
    always: bool = False


GATEWAY_COMMAND = (
    *(sys.executable, "-m", "gateway", "run"),
    # One process, as the others are.
    *("-c", str(HERE / "gateway.yaml"), "--port", "{port}", "--in-process"),
)
SERVERS = (
    Server(
        "gateway",
        GATEWAY_COMMAND,
        routes=("/echo", "/fan", "/idle", "/fan-deflate"),
        always=True,
    ),
    Server(
        "unwatched",
        ("env", "BENCH_METRICS=false", *GATEWAY_COMMAND),
        routes=("/echo", "/fan", "/fan-deflate"),
    ),
    Server("sanic", (sys.executable, str(PEERS / "stock_sanic.py"), "{port}"), always=True),
    Server("websockets", (sys.executable, str(PEERS / "websockets_server.py"), "{port}"), always=True),
    Server(
        "aiohttp",
        ("{folder}/bin/python", str(PEERS / "aiohttp_server.py"), "{port}"),
        recipe=Recipe(("aiohttp==3.14.5", "uvloop==0.23.0"), venv),
    ),
    Server(
        "socketify",
        ("{folder}/bin/python", str(PEERS / "socketify_server.py"), "{port}"),
        recipe=Recipe(("socketify==0.0.31",), venv),
    ),
    Server(
        "ws", ("node", str(PEERS / "node_ws.cjs"), "{folder}", "{port}"), recipe=Recipe(("ws@8.23.0",), npm)
    ),
    Server(
        "nchan",
        (sys.executable, str(PEERS / "nchan.py"), "{folder}", "{port}"),
        routes=("/fan",),
        recipe=Recipe(("nginx", "libnginx-mod-nchan"), debian),
    ),
    Server(
        "bare",
        ("{folder}/program", "{port}"),
        routes=("/echo", "/fan"),
        recipe=Recipe(("bare.c",), compiled),
        always=True,
    ),
)


class Running:
    """A server that has been started and answers on its port.

    Args:
        server: what it is.
        port: where it listens on 127.0.0.1.
        session: the session that all its processes belong to.
        log: where they write their output.
    """

    def __init__(self, server: Server, port: int, session: int, log: IO[str]) -> None:
        self.server = server
        self.port = port
        self.session = session
        self.log = log

    @property
    def pids(self) -> list[int]:
        """The ids of all its processes."""
        return processes_of_session(self.session)

    def settle(self) -> None:
        """Wait until the server has nothing left to do: under 2 percent of a core for 50 ms.

        Raises:
            BenchError: it is still busy after 10 seconds.
        """
        pids = self.pids

        def idle() -> bool:
            before = cpu_seconds(pids)
            time.sleep(0.05)
            return cpu_seconds(pids) - before < 0.001

        if not wait_for(idle, SETTLE_SECONDS, interval=0):
            raise BenchError(f"is still busy {SETTLE_SECONDS:.0f} seconds after its load ended")

    def memory_bytes(self) -> int:
        """Return the private memory of all processes in bytes, once the server is idle."""
        self.settle()
        return private_bytes(self.pids)

    def last_words(self) -> str:
        """Return the end of what the server has written, under a heading; nothing when it wrote nothing."""
        self.log.seek(0)
        text = self.log.read()[-2000:].strip()
        return f"\nits last words:\n{text}" if text else ""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(server: Server, core: int | None) -> Iterator[Running]:
    """Start a server on `core` (`None`: any), and end it and all its processes with the body.

    Raises:
        BenchError: it ended, or did not listen within 30 seconds.
    """
    port = free_port()
    places = {"port": str(port), "folder": str(folder_of(server.name))}
    command = [part.format_map(places) for part in server.command]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with pinned(core):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=HERE, start_new_session=True
            )
        running = Running(server, port, process.pid, log)
        try:
            if not wait_for(lambda: process.poll() is not None or listens(port), START_SECONDS):
                raise BenchError(
                    f"{server.name}: does not listen after {START_SECONDS:.0f} seconds{running.last_words()}"
                )
            if process.poll() is not None:
                raise BenchError(
                    f"{server.name}: ended with status {process.returncode}{running.last_words()}"
                )
            yield running
        finally:
            stop(process)


def listens(port: int) -> bool:
    """Tell whether something accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server with SIGTERM, and with SIGKILL what is left of its session after 10 seconds."""
    session = process.pid
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid in processes_of_session(session):
        os.kill(pid, signal.SIGKILL)
