"""The handler `echo`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import GatewayError
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from gateway.testing import Served

    Serve = Callable[..., Awaitable[Served]]

YAML = """
routes:
  - path: /bare
    allow_missing_origin: true
    handlers: [echo]
  - path: /told
    allow_missing_origin: true
    handlers:
      - name: echo
        options: {announce: true}
"""

MESSAGES = ["hello", "", "你好, 世界 🌍", "\0", "x" * 65_536, b"hello", b"", b"\x00\xff\xfe", b"x" * 65_536]
IDS = ["text", "empty", "unicode", "null", "long", "binary", "empty-binary", "no-utf-8", "long-binary"]


@pytest.mark.parametrize("message", MESSAGES, ids=IDS)
async def test_message_comes_back_bare(serve_gateway: Serve, message: str | bytes) -> None:
    """Without the option a message comes back as it was, text as text and binary as binary."""
    served = await serve_gateway(YAML)
    async with served.connect("/bare") as client:
        await client.send(message)
        assert await client.recv() == message


@pytest.mark.parametrize("message", MESSAGES, ids=IDS)
async def test_message_comes_back_announced(serve_gateway: Serve, message: str | bytes) -> None:
    """With the option the announcement goes before it, in binary as UTF-8."""
    served = await serve_gateway(YAML)
    expected = (
        "接收到客户端的消息:" + message
        if isinstance(message, str)
        else "接收到客户端的消息:".encode() + message
    )
    async with served.connect("/told", max_size=None) as client:
        await client.send(message)
        assert await client.recv() == expected


async def test_each_sender_hears_its_own(serve_gateway: Serve) -> None:
    """Two clients with messages on their way hear their own ones only, in order."""
    served = await serve_gateway(YAML)
    async with served.connect("/bare") as ada, served.connect("/bare") as bob:
        for number in range(50):
            await ada.send(f"ada {number}")
            await bob.send(f"bob {number}")
        assert [await ada.recv() for _ in range(50)] == [f"ada {number}" for number in range(50)]
        assert [await bob.recv() for _ in range(50)] == [f"bob {number}" for number in range(50)]


async def test_fragments_come_back_as_one_message(serve_gateway: Serve) -> None:
    """A message sent in fragments is one message, and is announced once."""
    served = await serve_gateway(YAML)
    async with served.connect("/told") as client:
        await client.send(["he", "", "llo"])
        assert await client.recv() == "接收到客户端的消息:hello"


@pytest.mark.parametrize("options", ["announce: 7", "anounce: true"])
async def test_bad_option_is_refused(serve_gateway: Serve, options: str) -> None:
    """A value that is no yes or no, and a misspelt key, refuse to start."""
    with pytest.raises(GatewayError, match=options.partition(":")[0]):
        await serve_gateway(f"routes: [{{path: /bad, handlers: [{{name: echo, options: {{{options}}}}}]}}]")


def test_anything_comes_back(tmp_path: Path) -> None:
    """Any text and any bytes come back the same, and no handler fails."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        served = runner.run(stack.enter_async_context(serve(tmp_path, YAML)))
        try:
            socket = runner.run(stack.enter_async_context(served.connect("/bare")))

            @settings(max_examples=100, deadline=None)
            @given(st.text() | st.binary())
            def comes_back(message: str | bytes) -> None:
                assert runner.run(_echo(socket, message)) == message

            comes_back()
        finally:
            runner.run(stack.aclose())
        assert [line for line in served.log if line["level"] == "error"] == []


async def _echo(socket: ClientConnection, message: str | bytes) -> str | bytes:
    await socket.send(message)
    async with asyncio.timeout(5):
        return await socket.recv()
