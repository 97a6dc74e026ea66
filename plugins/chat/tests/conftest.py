"""Clients of a gateway that serves the handler `chat`."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

    from gateway.testing import Served

YAML = """
authentication:
  token:
    keys:
      - {name: ada, user: ada, token: token-of-ada}
      - {name: long, user: "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", token: token-of-long}
      - {name: odd, user: "  Gr\\u200bace\\u202e\\u0007 ", token: token-of-odd}
      - {name: unseen, user: "\\u200b\\u200b", token: token-of-unseen}
routes:
  - path: /chat/{room}
    allow_missing_origin: true
    handlers: [chat]
  - path: /known/{room}
    allow_missing_origin: true
    authenticate: [token]
    handlers: [chat]
  - path: /short/{room}
    allow_missing_origin: true
    handlers:
      - name: chat
        options: {max_text_characters: 5, room_pattern: "lobby|help"}
  - path: /listen/{room}
    allow_missing_origin: true
    groups: ["room:{room}"]
    handlers: []
"""


class Client:
    """A client that speaks the protocol of `chat`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}

    @property
    def me(self) -> dict[str, str]:
        """What the others were told about this client when it came."""
        return {"id": self.welcome["id"], "name": self.welcome["name"]}

    async def tell(self, kind: str, **fields: object) -> None:
        """Send a message of a type."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hear(self) -> dict[str, Any]:
        """Await the next message."""
        async with asyncio.timeout(5):
            heard: dict[str, Any] = json.loads(await self.socket.recv(decode=True))
        return heard

    async def ask(self, kind: str, **fields: object) -> dict[str, Any]:
        """Send a message, and await the next one."""
        await self.tell(kind, **fields)
        return await self.hear()

    async def has_heard_all(self) -> bool:
        """Tell whether nothing was on its way: the answer to a question comes next."""
        return (await self.ask("who"))["type"] == "who"


@pytest_asyncio.fixture
async def served(serve_gateway: Callable[..., Awaitable[Served]]) -> AsyncIterator[Served]:
    """Serve chat rooms, and see that no handler failed."""
    served = await serve_gateway(YAML)
    yield served
    assert [line for line in served.log if line["level"] == "error"] == []


@pytest_asyncio.fixture
async def enter(served: Served) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Give a function that brings a client into a room; it has heard its welcome."""
    async with AsyncExitStack() as stack:

        async def bring(path: str = "/chat/lobby", *, token: str | None = None) -> Client:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            socket = await stack.enter_async_context(served.connect(path, additional_headers=headers))
            client = Client(socket)
            client.welcome = await client.hear()
            return client

        yield bring
