"""Stock Sanic: its own WebSocket routes, one process, no log."""

from __future__ import annotations

import sys
from typing import Any

from sanic import Request, Sanic

app = Sanic("bench", configure_logging=False)
fan_members: set[Any] = set()
everyone: set[Any] = set()
idle_members: set[Any] = set()


@app.websocket("/echo")
async def echo(_request: Request, ws: Any) -> None:
    """Send each message back."""
    async for message in ws:
        await ws.send(message)


@app.websocket("/fan")
async def fan(_request: Request, ws: Any) -> None:
    """Send each message to all connections of this route."""
    fan_members.add(ws)
    try:
        async for message in ws:
            await send_to_all(fan_members, message)
    finally:
        fan_members.discard(ws)


@app.websocket("/idle")
async def idle(_request: Request, ws: Any) -> None:
    """Be in two groups and wait."""
    everyone.add(ws)
    idle_members.add(ws)
    try:
        async for message in ws:
            await send_to_all(idle_members, message)
    finally:
        everyone.discard(ws)
        idle_members.discard(ws)


async def send_to_all(members: set[Any], message: str | bytes) -> None:
    """Send one after the other: nearly twice as fast as asyncio.gather, which makes a task for each."""
    for member in tuple(members):
        await member.send(message)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, motd=False, backlog=1024)
