"""One life of the embedded NATS server: its process, and what it says."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.children.leash import leashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.observe.logs import Logger

__all__ = ["ServerProcess", "answers"]

_LINE: Final = re.compile(r"\[\d+\] \[(INF|DBG|TRC|WRN|ERR|FTL)\] ?(.*)")
_LEVELS: Final = {"WRN": "warning", "ERR": "error", "FTL": "error"}


class ServerProcess:
    """A NATS server that runs, and that dies with this process.

    Args:
        log: Where log lines go.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, below 0 the signal that killed it; `None` while it runs."""
        return self._process.returncode

    async def start(self, command: Sequence[str], lock: int) -> None:
        """Start it. Called once, on the main thread.

        Args:
            command: The program and its arguments.
            lock: A descriptor that it inherits.

        Raises:
            OSError: If the system starts no process.
        """
        self._process = await asyncio.create_subprocess_exec(
            *leashed(*command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(lock,),
            process_group=0,  # Ctrl-C is for the gateway, whose workers need the server for a while
        )
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        self._reading = asyncio.ensure_future(self._read(self._process.stderr))

    async def _read(self, lines: asyncio.StreamReader) -> None:
        """Log what it says; what only tells of its start and its end, at level debug."""
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                continue  # a line that is too long
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            match = _LINE.fullmatch(text)
            level, message = ("WRN", text) if match is None else match.groups()
            getattr(self._log, _LEVELS.get(level, "debug"))("embedded_broker_log", message=message)

    async def wait(self) -> int:
        """Wait for its end; give its exit status."""
        status = await self._process.wait()
        await asyncio.wait({self._reading})
        return status

    def terminate(self) -> None:
        """Ask it to write what it has, and to end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.close()  # where a guard stands in between, that kills the server
        if sys.platform == "linux":
            with suppress(ProcessLookupError):
                self._process.kill()


async def answers(host: str, port: int, token: str, seconds: float) -> bool:
    """Tell whether a NATS server answers within so many seconds.

    It is asked for a PONG, since of one that is stopped the system still takes connections.
    """
    options = json.dumps({"auth_token": token, "verbose": False, "name": "supervisor"})
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await reader.readline()
                writer.write(f"CONNECT {options}\r\nPING\r\n".encode())
                return await reader.readline() == b"PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
