"""The chat plugin on two gateways with two workers each: one room, whoever serves a member."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from nodes import LINKED
from real_gateway import RealGateway
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 30

YAML = """
plugins: {live: {enabled: false}}
listen: {port: PORT, workers: 2, drain_seconds: 0}
broker: {type: KIND, urls: ["URL"], prefix: "PREFIX"}
groups: [{pattern: "room:*", presence: true, presence_grace_seconds: 0.5}]
routes:
  - {path: "/chat/{room}", allow_missing_origin: true, handlers: [tell, chat]}
"""


class Member:
    """A member of a room; `pid` is that of the worker that serves it."""

    def __init__(self, connection: Any, pid: int) -> None:
        self.connection = connection
        self.pid = pid
        self.me: dict[str, str] = {}

    async def hear(self, kind: str) -> dict[str, Any]:
        """Wait for the next message of a type; others are passed over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                told: dict[str, Any] = json.loads(await self.connection.recv())
                if told["type"] == kind:
                    return told

    async def until_here(self, *members: Member) -> None:
        """Ask who is here until it is just these."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await self.connection.send('{"type": "who"}')
                if (await self.hear("who"))["members"] == [member.me for member in members]:
                    return
                await asyncio.sleep(0.02)


@pytest.fixture(params=LINKED)
def ports(request: pytest.FixtureRequest, servers: Any, tmp_path: Path) -> Iterator[list[int]]:
    """The ports of two gateways with two workers each."""
    text = YAML.replace("KIND", request.param).replace("URL", getattr(servers, request.param).url)
    text = text.replace("PREFIX", f"test-{secrets.token_hex(4)}")
    gateways = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        gateways.append(RealGateway(folder, text))
    with ExitStack() as stack:
        for gateway in gateways:
            gateway.launch()
            stack.callback(gateway.end)
        for gateway in gateways:
            gateway.wait()
        yield [gateway.port for gateway in gateways]


async def test_one_room(ports: list[int]) -> None:
    """Members at all four workers see each other, and each says something that all others hear."""
    async with AsyncExitStack() as stack:

        async def enter(port: int) -> Member:
            opening = connect(f"ws://127.0.0.1:{port}/chat/lobby", proxy=None)
            connection = await stack.enter_async_context(opening)
            member = Member(connection, int(await connection.recv()))
            welcome = await member.hear("welcome")
            member.me = {"id": welcome["id"], "name": welcome["name"]}
            return member

        members: list[Member] = []
        for port in ports:
            served: set[int] = set()
            while len(served) < 2:
                member = await enter(port)
                members.append(member)
                served.add(member.pid)
        assert len({member.pid for member in members}) == 4
        for member in members:
            await member.until_here(*members)
        for speaker in members:
            await speaker.connection.send(json.dumps({"type": "say", "text": f"from {speaker.pid}"}))
            for member in members:
                assert (await member.hear("message"))["text"] == f"from {speaker.pid}"
