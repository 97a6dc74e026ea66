"""Clients of a gateway that serves the handler `chat`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway import testing
    from gateway.testing import Served

YAML = """
groups: [{pattern: "room:*", presence: true, presence_grace_seconds: 0.3}]
authentication:
  token:
    keys:
      - {name: ada, user: ada, token: token-of-ada}
      - {name: grace, user: grace, token: token-of-grace, groups: ["room:kitchen"]}
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
  - path: /hark/{room}
    allow_missing_origin: true
    authenticate: [token]
    groups: ["room:{room}"]
    handlers: []
  - path: /listen/{room}
    allow_missing_origin: true
    groups: ["room:{room}"]
    handlers: []
"""


class Client:
    """A client that speaks the protocol of `chat`."""

    def __init__(self, client: testing.Client) -> None:
        self.client = client
        self.socket = client.socket
        self.welcome: dict[str, Any] = {}

    @property
    def me(self) -> dict[str, str]:
        """What the others were told about this client when it came."""
        return {"id": self.welcome["id"], "name": self.welcome["name"]}

    async def tell(self, kind: str, **fields: object) -> None:
        """Send a message of a type."""
        await self.client.send_json({"type": kind, **fields})

    async def hear(self) -> dict[str, Any]:
        """Await the next message."""
        heard: dict[str, Any] = await self.client.receive_json()
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
    assert served.errors == []


@pytest_asyncio.fixture
async def enter(
    served: Served, gateway_client: Callable[..., Awaitable[testing.Client]]
) -> Callable[..., Awaitable[Client]]:
    """Give a function that brings a client into a room; it has heard its welcome."""

    async def bring(path: str = "/chat/lobby", *, token: str | None = None) -> Client:
        client = Client(await gateway_client(served, path, token=token))
        client.welcome = await client.hear()
        return client

    return bring
