"""Tests of who is here with several workers, on the broker that they get of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any

PATIENCE_SECONDS = 30

SOURCE = """
    import os

    import gateway

    class Tell(gateway.Handler):
        def on_open(self, connection):
            connection.send(str(os.getpid()))

    @gateway.hookimpl
    def gateway_handlers():
        return {"tell": Tell}
"""

YAML = """
    plugins: {{live: {{enabled: false}}}}
    listen: {{port: {port}, workers: 2, drain_seconds: 0}}
    groups: [{{pattern: "room:*", presence: true, presence_grace_seconds: 0.5}}]
    routes:
      - {{path: "/chat/{{room}}", allow_missing_origin: true, handlers: [tell, chat]}}
"""


class Client:
    """A member of a room; `pid` is that of its worker."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.pid = 0
        self.me: dict[str, str] = {}

    async def hear(self) -> Any:
        """Wait for the next message."""
        return json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_SECONDS))

    async def until_here(self, *clients: Client) -> None:
        """Ask who is here until it is just these; pass over what else is told."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await self.connection.send('{"type": "who"}')
                while (answer := await self.hear())["type"] != "who":
                    pass
                if answer["members"] == [client.me for client in clients]:
                    return
                await asyncio.sleep(0.02)


async def test_workers_agree_on_who_is_here(
    folder: Path,
    install: Callable[[str, str, str], None],
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
) -> None:
    """Members at both workers are one room; those of a worker that is killed leave it, and are told."""
    install("tell-plugin", "tell", SOURCE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write(YAML.format(port=port))
    running = await run(environ={"TMPDIR": str(folder)})
    await running.printed_lines(1)
    async with AsyncExitStack() as stack:

        async def enter() -> Client:
            opening = connect(f"ws://127.0.0.1:{port}/chat/lobby", proxy=None)
            client = Client(await stack.enter_async_context(opening))
            client.pid = await client.hear()
            welcome = await client.hear()
            client.me = {"id": welcome["id"], "name": welcome["name"]}
            return client

        clients = [await enter()]
        while len({client.pid for client in clients}) < 2 or len(clients) < 3:
            clients.append(await enter())
        for client in clients:
            await client.until_here(*clients)
        victim = clients[0].pid
        staying = [client for client in clients if client.pid != victim]
        os.kill(victim, signal.SIGKILL)
        gone = {client.me["id"] for client in clients} - {client.me["id"] for client in staying}
        for client in staying:
            left: set[str] = set()
            while left < gone:
                told = await client.hear()
                if told["type"] == "left":
                    left.add(told["member"]["id"])
        newcomer = await enter()
        for client in (*staying, newcomer):
            await client.until_here(*staying, newcomer)
