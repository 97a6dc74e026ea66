"""The control socket: how `gateway stop`, `reload` and `status` speak with the gateway that runs.

A client sends one JSON object in a line, and gets one back. Whoever asked for the end hears it in the end of
the connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.app.runtime import connect_to, folders_of
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.app.reload import Outcome
    from gateway.app.runtime import RuntimeFolder

__all__ = ["Answer", "ControlError", "ControlServer", "ask"]

_ASKING_SECONDS: Final = 10.0
_ENDING_SECONDS: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")


class ControlError(GatewayError):
    """A running gateway that cannot be found or asked.

    Args:
        fact: Why not.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class Controlled(Protocol):
    """What is controlled."""

    def ask_to_stop(self, *, at_once: bool) -> None: ...

    async def reload(self) -> Outcome: ...

    def status(self) -> dict[str, Any]: ...


class ControlServer:
    """The gateway's end.

    Args:
        controlled: The gateway.
    """

    def __init__(self, controlled: Controlled) -> None:
        self._controlled = controlled
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, folder: RuntimeFolder) -> None:
        """Answer whoever connects to the socket of a folder.

        Raises:
            RuntimeFolderError: If it cannot be made.
        """
        self._server = await asyncio.start_unix_server(self._serve, sock=folder.listen())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self._clients[task] = writer
        try:
            if _may_ask(writer.get_extra_info("socket")):
                async with asyncio.timeout(_ASKING_SECONDS):
                    question = json.loads(await reader.readline())
                writer.write(json.dumps(await self._answer(question)).encode() + b"\n")
                await writer.drain()
                await reader.read()
        except (OSError, ValueError, KeyError, TypeError, TimeoutError):
            pass  # it is gone, or it is none of our commands
        finally:
            del self._clients[task]
            writer.close()

    async def _answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        do = question["do"]
        if do == "stop":
            self._controlled.ask_to_stop(at_once=bool(question.get("at_once")))
            return {"pid": os.getpid()}
        if do == "reload":
            # A client that goes away meanwhile ends nothing.
            outcome = await asyncio.shield(asyncio.ensure_future(self._controlled.reload()))
            return outcome.to_plain()
        if do == "status":
            return self._controlled.status()
        raise ValueError(do)

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
        clients = dict(self._clients)
        for writer in clients.values():
            writer.close()
        if clients:
            await asyncio.wait(clients, timeout=_ENDING_SECONDS)


def _may_ask(client: socket.socket) -> bool:
    """Tell whether a client is of this user, or root; the permissions of the socket say the same."""
    if sys.platform != "linux":
        return True
    found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(found)[1] in {0, os.geteuid()}


class Answer:
    """What a gateway answered, and the connection to it.

    Args:
        client: The connection.
        told: What it said.
    """

    def __init__(self, client: socket.socket, told: Mapping[str, Any]) -> None:
        self._client = client
        self.told = told

    def wait_for_end(self) -> None:
        """Wait until the gateway has ended."""
        self._client.settimeout(None)
        with suppress(OSError):
            while self._client.recv(4096):
                pass

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def ask(config: Path, configured: Path | None, question: Mapping[str, Any]) -> Answer:
    """Ask the gateway of a file, and wait for its answer for as long as it takes.

    Args:
        config: The path of gateway.yaml.
        configured: Its `runtime_folder`; `None` if it is not set.
        question: What is asked.

    Raises:
        ControlError: If none is found, or it does not answer.
        RuntimeFolderError: If there may be one that this user must not ask.
    """
    for folder in folders_of(config, configured):
        client = connect_to(folder, _ASKING_SECONDS)
        if client is None:
            continue
        try:
            client.sendall(json.dumps(question).encode() + b"\n")
            client.settimeout(None)
            data = more = client.recv(65_536)
            while more and not data.endswith(b"\n"):
                more = client.recv(65_536)
                data += more
        except OSError as exc:
            client.close()
            raise ControlError(f"the gateway does not answer: {(exc.strerror or str(exc)).lower()}") from None
        if not data.endswith(b"\n"):
            client.close()
            raise ControlError("the gateway has ended before it answered")
        return Answer(client, json.loads(data))
    raise ControlError(f"no gateway runs with {config}")
