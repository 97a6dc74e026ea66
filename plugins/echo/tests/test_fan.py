"""The handler `fan`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway import GatewayError
from gateway_echo import Fan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Published, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]
    Check = Callable[..., Awaitable[None]]

YAML = """
routes:
  - path: /fan
    allow_missing_origin: true
    groups: [fan]
    handlers: [fan]
  - path: /other
    allow_missing_origin: true
    groups: [other]
    handlers:
      - name: fan
        options: {group: other}
  - path: /outside
    allow_missing_origin: true
    groups: [outside]
    handlers: [fan]
"""


@pytest.mark.parametrize("message", ["hello", "你好", b"\x00\xff"], ids=["text", "unicode", "binary"])
async def test_message_reaches_all_members_once(
    serve_gateway: Serve, gateway_client: Connect, message: str | bytes
) -> None:
    """Each member gets a message once, the sender too."""
    served = await serve_gateway(YAML)
    members = [await gateway_client(served, "/fan") for _ in range(3)]
    await members[0].send(message)
    for client in members:
        assert await client.receive() == message
        await client.expect_nothing()


async def test_senders_keep_their_order(serve_gateway: Serve, gateway_client: Connect) -> None:
    """Messages of several senders reach each member once, in the order of each sender."""
    served = await serve_gateway(YAML)
    clients = {name: await gateway_client(served, "/fan") for name in ("ada", "bob")}

    async def send(name: str) -> None:
        for number in range(30):
            await clients[name].send(f"{name} {number}")

    await asyncio.gather(*map(send, clients))
    for client in clients.values():
        heard = [str(await client.receive()) for _ in range(60)]
        for name in clients:
            assert [text for text in heard if text.startswith(name)] == [f"{name} {n}" for n in range(30)]


async def test_group_is_chosen_by_the_option(
    serve_gateway: Serve, gateway_client: Connect, gateway_published: Published
) -> None:
    """A message goes to the group of the option, and to no other one."""
    served = await serve_gateway(YAML)
    ada, bob = await gateway_client(served, "/fan"), await gateway_client(served, "/other")
    assert await ada.ask("to fan") == "to fan"
    assert await bob.ask("to other") == "to other"
    await ada.expect_nothing()
    assert gateway_published.to_group("fan") == ["to fan"]
    assert gateway_published.to_group("other") == ["to other"]
    assert len(gateway_published) == 2


async def test_sender_outside_the_group_hears_nothing(serve_gateway: Serve, gateway_client: Connect) -> None:
    """The handler joins nobody: a sender who is not in the group reaches it, and hears nothing back."""
    served = await serve_gateway(YAML)
    sender, member = await gateway_client(served, "/outside"), await gateway_client(served, "/fan")
    await sender.send("hello")
    assert await member.receive() == "hello"
    await sender.expect_nothing()


@pytest.mark.parametrize("dropped", [False, True], ids=["closed", "dropped"])
async def test_member_that_left_gets_nothing(
    serve_gateway: Serve, gateway_client: Connect, dropped: bool
) -> None:
    """Those who stay get a message once when one of them has gone."""
    served = await serve_gateway(YAML)
    ada, bob = await gateway_client(served, "/fan"), await gateway_client(served, "/fan")
    assert await ada.ask("both") == await bob.receive() == "both"
    if dropped:
        bob.drop()
    else:
        await bob.close()
    assert await ada.ask("alone") == "alone"
    await ada.expect_nothing()
    assert served.errors == []


async def test_nasty_conversations(check_handler: Check) -> None:
    """No client makes the handler fail, or harms another."""
    await check_handler(Fan, route={"groups": ["fan"]}, messages=["hello", b"\x00"])


@pytest.mark.parametrize("options", [{"group": ""}, {"group": 7}, {"grop": "fan"}])
async def test_bad_option_is_refused(serve_gateway: Serve, options: dict[str, object]) -> None:
    """A group without a name, one that is no text, and a misspelt key refuse to start."""
    with pytest.raises(GatewayError, match=next(iter(options))):
        await serve_gateway(Fan, options=options)
