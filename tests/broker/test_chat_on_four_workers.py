"""The chat plugin on two gateways with two workers each: one room, whoever serves a member."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL
from contextlib import AsyncExitStack
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from nodes import LINKED
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE_SECONDS = 30

# Says which process serves, before the chat's own welcome.
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
plugins: {live: {enabled: false}}
listen: {port: PORT, workers: 2, drain_seconds: 0}
runtime_folder: RUNTIME
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
async def ports(
    request: pytest.FixtureRequest, servers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[int]]:
    """The ports of two gateways with two workers each."""
    info = tmp_path / "tell-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tell\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway]\ntell = tell_module\n")
    (tmp_path / "tell_module.py").write_text(dedent(SOURCE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    prefix = f"test-{secrets.token_hex(4)}"
    processes = []
    found = []
    for number in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            found.append(free.getsockname()[1])
        values = {
            "PORT": str(found[-1]),
            "KIND": request.param,
            "URL": getattr(servers, request.param).url,
            "PREFIX": prefix,
            "RUNTIME": str(tmp_path / f"run-{number}"),
        }
        text = YAML
        for name, value in values.items():
            text = text.replace(name, value)
        file = tmp_path / f"gateway-{number}.yaml"
        file.write_text(text)
        command = (sys.executable, "-m", "gateway", "run", "--config", str(file))
        with (tmp_path / f"{number}.log").open("w") as log:
            processes.append(
                await asyncio.create_subprocess_exec(
                    *command, stdout=DEVNULL, stderr=log, start_new_session=True
                )
            )
    try:
        for port in found:
            await answers(port)
        yield found
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        statuses = [await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) for process in processes]
    assert statuses == [0, 0]


async def answers(port: int) -> None:
    """Wait until a gateway is ready."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
            await asyncio.sleep(0.05)


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
