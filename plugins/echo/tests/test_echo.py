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
from gateway_echo import Echo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Client, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]
    Check = Callable[..., Awaitable[None]]

MESSAGES = ["hello", "", "你好, 世界 🌍", "\0", "x" * 65_536, b"hello", b"", b"\x00\xff\xfe", b"x" * 65_536]
IDS = ["text", "empty", "unicode", "null", "long", "binary", "empty-binary", "no-utf-8", "long-binary"]


@pytest.mark.parametrize("message", MESSAGES, ids=IDS)
async def test_message_comes_back_bare(
    serve_gateway: Serve, gateway_client: Connect, message: str | bytes
) -> None:
    """Without the option a message comes back as it was, text as text and binary as binary."""
    client = await gateway_client(await serve_gateway(Echo))
    assert await client.ask(message) == message


@pytest.mark.parametrize("message", MESSAGES, ids=IDS)
async def test_message_comes_back_announced(
    serve_gateway: Serve, gateway_client: Connect, message: str | bytes
) -> None:
    """With the option the announcement goes before it, in binary as UTF-8."""
    client = await gateway_client(await serve_gateway(Echo, options={"announce": True}))
    expected = (
        "接收到客户端的消息:" + message
        if isinstance(message, str)
        else "接收到客户端的消息:".encode() + message
    )
    assert await client.ask(message) == expected


async def test_each_sender_hears_its_own(serve_gateway: Serve, gateway_client: Connect) -> None:
    """Two clients with messages on their way hear their own ones only, in order."""
    served = await serve_gateway(Echo)
    ada, bob = await gateway_client(served), await gateway_client(served)
    for number in range(50):
        await ada.send(f"ada {number}")
        await bob.send(f"bob {number}")
    assert [await ada.receive() for _ in range(50)] == [f"ada {number}" for number in range(50)]
    assert [await bob.receive() for _ in range(50)] == [f"bob {number}" for number in range(50)]


async def test_fragments_come_back_as_one_message(serve_gateway: Serve, gateway_client: Connect) -> None:
    """A message sent in fragments is one message, and is announced once."""
    client = await gateway_client(await serve_gateway(Echo, options={"announce": True}))
    await client.send(["he", "", "llo"])
    assert await client.receive() == "接收到客户端的消息:hello"
    await client.expect_nothing()


@pytest.mark.parametrize("options", [{"announce": 7}, {"anounce": True}])
async def test_bad_option_is_refused(serve_gateway: Serve, options: dict[str, object]) -> None:
    """A value that is no yes or no, and a misspelt key, refuse to start."""
    with pytest.raises(GatewayError, match=next(iter(options))):
        await serve_gateway(Echo, options=options)


async def test_installed_handler_is_served(serve_gateway: Serve, gateway_client: Connect) -> None:
    """A route finds the handler by its name."""
    text = "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]"
    served = await serve_gateway(text)
    assert served.handlers == (Echo,)
    assert await (await gateway_client(served)).ask("hello") == "hello"


@pytest.mark.parametrize("announce", [False, True], ids=["bare", "announced"])
async def test_nasty_conversations(check_handler: Check, announce: bool) -> None:
    """No client makes the handler fail, or harms another."""
    await check_handler(Echo, options={"announce": announce}, messages=["hello", b"\x00"])


def test_anything_comes_back(tmp_path: Path) -> None:
    """Any text and any bytes come back the same, and no handler fails."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        served = runner.run(stack.enter_async_context(serve(tmp_path, Echo)))
        try:
            client = runner.run(stack.enter_async_context(served.client()))

            @settings(max_examples=100, deadline=None)
            @given(st.text() | st.binary())
            def comes_back(message: str | bytes) -> None:
                assert runner.run(client.ask(message)) == message

            comes_back()
        finally:
            runner.run(stack.aclose())
        assert served.errors == []
