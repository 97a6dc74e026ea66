"""aiohttp's own WebSocket server under uvloop, compression off, no access log."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import WSMsgType, web

fan_members: set[web.WebSocketResponse] = set()
everyone: set[web.WebSocketResponse] = set()
idle_members: set[web.WebSocketResponse] = set()


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send each message back."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
    return ws


async def fan(request: web.Request) -> web.WebSocketResponse:
    """Send each message to all connections of this route."""
    return await serve_group(request, fan_members)


async def idle(request: web.Request) -> web.WebSocketResponse:
    """Be in two groups and wait."""
    return await serve_group(request, idle_members, everyone)


async def serve_group(
    request: web.Request, group: set[web.WebSocketResponse], *others: set[web.WebSocketResponse]
) -> web.WebSocketResponse:
    """Join the groups; send each message to all of the first, one after the other."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    for joined in (group, *others):
        joined.add(ws)
    try:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                for member in tuple(group):
                    await member.send_str(message.data)
    finally:
        for joined in (group, *others):
            joined.discard(ws)
    return ws


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/echo", echo), web.get("/fan", fan), web.get("/idle", idle)])
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop=uvloop.new_event_loop(),
        access_log=None,
        print=None,
        backlog=1024,
    )
