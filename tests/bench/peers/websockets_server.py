"""The asyncio server of `websockets` under uvloop, compression off, fan-out by its own `broadcast`."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

fan_members: set[ServerConnection] = set()
everyone: set[ServerConnection] = set()
idle_members: set[ServerConnection] = set()


async def echo(connection: ServerConnection) -> None:
    """Send each message back."""
    async for message in connection:
        await connection.send(message)


async def fan(connection: ServerConnection) -> None:
    """Send each message to all connections of this route."""
    fan_members.add(connection)
    try:
        async for message in connection:
            broadcast(fan_members, message)
    finally:
        fan_members.discard(connection)


async def idle(connection: ServerConnection) -> None:
    """Be in two groups and wait."""
    everyone.add(connection)
    idle_members.add(connection)
    try:
        async for message in connection:
            broadcast(idle_members, message)
    finally:
        everyone.discard(connection)
        idle_members.discard(connection)


ROUTES = {"/echo": echo, "/fan": fan, "/idle": idle}


async def handle(connection: ServerConnection) -> None:
    """Call the route of the request's path; a lost connection is no error, so no traceback is paid for."""
    assert connection.request is not None
    with contextlib.suppress(ConnectionClosed):
        await ROUTES[connection.request.path](connection)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    async with serve(handle, "127.0.0.1", port, compression=None, backlog=1024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
