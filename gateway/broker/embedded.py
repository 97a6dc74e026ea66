"""The embedded broker: a private NATS server on this machine, for the workers of one gateway."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import sys
import sysconfig
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.broker.data_folder import DataFolder
from gateway.broker.server_process import ServerProcess, answers
from gateway.children.restarts import Restarts, tell_status
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.observe.logs import Logger

__all__ = ["EmbeddedServer", "EmbeddedServerError", "find_program"]

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.02


class EmbeddedServerError(GatewayError):
    """An embedded broker that cannot be started.

    Args:
        fact: Why.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"embedded broker: {fact}")
        self.fact = fact


def find_program() -> str | None:
    """Find the program `nats-server`: beside this Python, or on PATH; `None` if there is none."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")


class EmbeddedServer:
    """A NATS server with JetStream, on the loopback address, for whoever knows its token.

    It is started anew at the same address when it dies or ceases to answer, and it ends with this process,
    however that ends.

    Args:
        folder: Where it keeps its data; `None` for a temporary folder.
        max_message_bytes: Longest message that it takes.
        hang_seconds: For how long it may not answer; then it is killed.
        log: Where log lines go.
    """

    def __init__(self, folder: Path | None, max_message_bytes: int, hang_seconds: float, log: Logger) -> None:
        self.max_message_bytes = max_message_bytes
        self.token = secrets.token_urlsafe(32)
        """What a client has to show. It stands in a file that only this user may read."""
        self._path = folder
        self._hang_seconds = hang_seconds
        self._log = log
        # It only is bound: so others are kept from the port while the server is started anew.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((_HOST, 0))
        self._port = int(self._reserved.getsockname()[1])
        self._folder: DataFolder | None = None
        self._command: list[str] = []
        self._server: ServerProcess | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://{_HOST}:{self._port}"

    async def start(self) -> None:
        """Start it, and wait until it answers. Called once, on the main thread.

        Raises:
            EmbeddedServerError: If there is no program, the folder cannot be had, or it does not answer.
        """
        program = find_program()
        if program is None:
            raise EmbeddedServerError("there is no nats-server, beside this python or on path")
        if sys.platform != "linux":
            self._reserved.close()  # only there a server can listen beside it
        self._folder = await self._take_folder()
        try:
            config = self._folder.write("nats-server.conf", self._config(self._folder))
            self._command = [program, "--config", str(config)]
            self._server = await self._launch(self._folder)
        except OSError as exc:
            raise EmbeddedServerError((exc.strerror or str(exc)).lower()) from exc
        if not await self._has_started(self._server):
            raise EmbeddedServerError(f"no answer within {_START_SECONDS:g} seconds, the log may say why")
        self._keeping = asyncio.ensure_future(self._keep(self._folder, self._server))

    async def _take_folder(self) -> DataFolder:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _STOP_SECONDS
        while True:
            try:
                return DataFolder(self._path)
            except BlockingIOError:
                # The server of a gateway that was killed may take a moment to die.
                if loop.time() > deadline:
                    raise EmbeddedServerError(f"another gateway uses the folder {self._path}") from None
            except OSError as exc:
                reason = (exc.strerror or str(exc)).lower()
                what = "a temporary folder" if self._path is None else f"the folder {self._path}"
                raise EmbeddedServerError(f"cannot use {what}: {reason}") from exc
            await asyncio.sleep(_AGAIN_SECONDS)

    def _config(self, folder: DataFolder) -> str:
        """Write the server's configuration, in JSON, which its own form includes."""
        settings = {
            "server_name": f"gateway-{secrets.token_hex(4)}",
            "host": _HOST,
            "port": self._port,
            "authorization": {"token": self.token},
            "max_payload": self.max_message_bytes,
            "logtime": False,
            "jetstream": {"store_dir": str(folder.path / "nats")},
        }
        return json.dumps(settings, indent=2)

    async def _launch(self, folder: DataFolder) -> ServerProcess:
        server = ServerProcess(self._log)
        await server.start(self._command, folder.lock)
        return server

    async def _has_started(self, server: ServerProcess) -> bool:
        """Wait until a server answers; give whether it does before it ends, and soon enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while server.status is None:
                    if await self._answers():
                        self._log.info("embedded_broker_started", pid=server.pid, port=self._port)
                        return True
                    await asyncio.sleep(_AGAIN_SECONDS)
        return False

    async def _answers(self) -> bool:
        return await answers(_HOST, self._port, self.token, self._hang_seconds)

    async def _keep(self, folder: DataFolder, server: ServerProcess) -> None:
        """Start the server anew whenever it has ended."""
        loop = asyncio.get_running_loop()
        restarts = Restarts()
        began: float | None = loop.time()
        while True:
            watching = asyncio.ensure_future(self._watch(server))
            try:
                self._log.error("embedded_broker_died", pid=server.pid, **tell_status(await server.wait()))
            finally:
                watching.cancel()
            lived = 0.0 if began is None else loop.time() - began
            await asyncio.sleep(restarts.pause(lived))
            began = None
            try:
                self._server = server = await self._launch(folder)
            except OSError as exc:
                self._log.error("embedded_broker_start_failed", reason=exc.strerror or str(exc))
            else:
                if await self._has_started(server):
                    began = loop.time()
                else:
                    server.kill()

    async def _watch(self, server: ServerProcess) -> None:
        """Kill a server that does not answer any more; its end is noticed as any other."""
        while await self._answers():  # noqa: ASYNC110 - no event says that it has ceased to
            await asyncio.sleep(_LOOK_SECONDS)
        if server.status is None:
            self._log.error("embedded_broker_hung", pid=server.pid, seconds=self._hang_seconds)
            server.kill()

    async def stop(self) -> None:
        """Have it write what it has, and end it; wait for its end."""
        await self._cease_keeping()
        if self._server is not None:
            self._server.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._server.wait()

    async def end(self) -> None:
        """End it at once, if it has not ended yet, and let go of everything."""
        await self._cease_keeping()
        if self._server is not None and self._server.status is None:
            self._server.kill()
            await self._server.wait()
        if self._folder is not None:
            self._folder.close()
        self._reserved.close()

    async def _cease_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
