"""Tests of the chat plugin on gateways that share a broker: one room, whichever gateway a member is at."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from nodes import LINKED, PATIENCE_SECONDS, until

from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nodes import Servers

    Enter = Callable[..., Awaitable[Any]]

YAML = """
listen: {drain_seconds: 0}
broker: {type: KIND, urls: ["URL"], prefix: "PREFIX", probe_interval_seconds: 0.05}
groups: [{pattern: "room:*", presence: true, presence_grace_seconds: 0.5}]
routes:
  - {path: "/chat/{room}", allow_missing_origin: true, handlers: [chat]}
  - {path: "/known/{room}", allow_missing_origin: true, authenticate: [token], handlers: [chat]}
authentication: {token: {keys: [{name: a, user: ada, token: ada-1}]}}
"""


class Client:
    """A member of a room."""

    def __init__(self, socket: Any, welcome: dict[str, Any]) -> None:
        self.socket = socket
        self.welcome = welcome
        self.me = {"id": welcome["id"], "name": welcome["name"]}

    async def tell(self, kind: str, **fields: object) -> None:
        """Send a message of a type."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hear(self) -> dict[str, Any]:
        """Wait for the next message."""
        return json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE_SECONDS))

    async def members(self) -> list[dict[str, str]]:
        """Ask who is here; nothing else may be on its way."""
        await self.tell("who")
        answer = await self.hear()
        assert answer["type"] == "who", answer
        return answer["members"]


@pytest.fixture(params=LINKED)
async def pair(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> AsyncIterator[tuple[Served, Served]]:
    """Two gateways on one server, of each kind."""
    url = getattr(servers, request.param).url
    text = YAML.replace("KIND", request.param).replace("URL", url).replace("PREFIX", secrets.token_hex(4))
    async with AsyncExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateways.append(await stack.enter_async_context(serve(tmp_path / name, text)))
        yield gateways[0], gateways[1]
        assert [line for one in gateways for line in one.log if line["level"] == "error"] == []


@pytest.fixture
async def enter(pair: tuple[Served, Served]) -> AsyncIterator[Enter]:
    """A function that brings a client into a room at a gateway, and waits until both know of it."""
    async with AsyncExitStack() as stack:

        async def enter(server: Served, room: str = "lobby", *, user: str = "") -> Client:
            headers = {"Authorization": f"Bearer {user}-1"} if user else {}
            path = f"/known/{room}" if user else f"/chat/{room}"
            socket = await stack.enter_async_context(server.connect(path, additional_headers=headers))
            client = Client(socket, json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)))
            group = f"room:{room}"
            await until(lambda: pair[0].node.presence(group) == pair[1].node.presence(group))
            # Until the subscriptions of the newcomer's gateway hold.
            status = server.node.broker.status
            for _ in range(2):
                proved_at = status.proved_at
                await until(lambda proved_at=proved_at: status.proved_at > proved_at)
            return client

        yield enter


async def test_who_is_here_agrees(pair: tuple[Served, Served], enter: Enter) -> None:
    """A newcomer hears of members at the other gateway, and these of the newcomer; both answer alike."""
    one, two = pair
    ann = await enter(one)
    bob = await enter(two)
    cleo = await enter(one)
    assert bob.welcome["members"] == [ann.me, bob.me]
    assert cleo.welcome["members"] == [ann.me, bob.me, cleo.me]
    assert [await ann.hear(), await ann.hear()] == [
        {"type": "joined", "member": bob.me},
        {"type": "joined", "member": cleo.me},
    ]
    assert await bob.hear() == {"type": "joined", "member": cleo.me}
    assert await ann.members() == await bob.members() == await cleo.members() == [ann.me, bob.me, cleo.me]
    await cleo.socket.close()
    for client in (ann, bob):
        assert await client.hear() == {"type": "left", "member": cleo.me}
        assert await client.members() == [ann.me, bob.me]


async def test_what_is_said_and_whispered(pair: tuple[Served, Served], enter: Enter) -> None:
    """A text reaches everyone once, and a whisper its receiver and sender alone, at whichever gateway."""
    one, two = pair
    ann, bob, cleo = await enter(one), await enter(two), await enter(two)
    for client, joined in ((ann, 2), (bob, 1)):
        for _ in range(joined):
            await client.hear()
    await ann.tell("say", text="hello")
    heard = [await client.hear() for client in (ann, bob, cleo)]
    assert heard[0]["from"] == ann.me
    assert heard[0] == heard[1] == heard[2]
    await ann.tell("whisper", to=bob.me["name"], text="psst")
    assert await ann.hear() == await bob.hear()
    assert len(await cleo.members()) == len(await bob.members()) == len(await ann.members()) == 3


async def test_names_are_those_of_all(pair: tuple[Served, Served], enter: Enter) -> None:
    """A new name is told everywhere, once, and cannot be had at the other gateway."""
    one, two = pair
    ann, bob = await enter(one), await enter(two)
    await ann.hear()
    await ann.tell("name", name="Ann")
    renamed = {"type": "renamed", "member": {"id": ann.me["id"], "name": "Ann"}, "former": ann.me["name"]}
    assert await ann.hear() == await bob.hear() == renamed
    await bob.tell("name", name="ann")
    assert (await bob.hear())["error"] == "name_taken"
    assert await ann.members() == await bob.members()


async def test_a_user_who_changes_gateways_stays(pair: tuple[Served, Served], enter: Enter) -> None:
    """A brief reconnect to the other gateway is told nobody; a longer absence everybody."""
    one, two = pair
    bob, cleo = await enter(one), await enter(two)
    ada = await enter(one, user="ada")
    for client, joined in ((bob, 2), (cleo, 1)):
        for _ in range(joined):
            assert (await client.hear())["type"] == "joined"
    await ada.socket.close()
    back = await enter(two, user="ada")
    assert back.me == ada.me
    assert back.me in await bob.members()
    assert back.me in await cleo.members()
    await back.socket.close()
    for client in (bob, cleo):
        assert await client.hear() == {"type": "left", "member": ada.me}
