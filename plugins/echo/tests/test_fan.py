"""The handler `fan`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Serve = Callable[..., Awaitable[Served]]

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
async def test_message_reaches_all_members_once(serve_gateway: Serve, message: str | bytes) -> None:
    """Each member gets a message once, the sender too: what follows it is the next message."""
    served = await serve_gateway(YAML)
    async with served.connect("/fan") as ada, served.connect("/fan") as bob, served.connect("/fan") as cleo:
        await ada.send(message)
        await ada.send("end")
        for client in (ada, bob, cleo):
            assert [await client.recv(), await client.recv()] == [message, "end"]


async def test_senders_keep_their_order(serve_gateway: Serve) -> None:
    """Messages of several senders reach each member once, in the order of each sender."""
    served = await serve_gateway(YAML)
    async with served.connect("/fan") as ada, served.connect("/fan") as bob:

        async def send(name: str) -> None:
            for number in range(30):
                await (ada if name == "ada" else bob).send(f"{name} {number}")

        await asyncio.gather(send("ada"), send("bob"))
        for client in (ada, bob):
            heard = [str(await client.recv()) for _ in range(60)]
            for name in ("ada", "bob"):
                assert [text for text in heard if text.startswith(name)] == [f"{name} {n}" for n in range(30)]


async def test_group_is_chosen_by_the_option(serve_gateway: Serve) -> None:
    """A message goes to the group of the option, and to no other one."""
    served = await serve_gateway(YAML)
    async with served.connect("/fan") as ada, served.connect("/other") as bob:
        await ada.send("to fan")
        assert await ada.recv() == "to fan"
        await bob.send("to other")
        assert await bob.recv() == "to other"
        await ada.send("end")
        assert await ada.recv() == "end"


async def test_sender_outside_the_group_hears_nothing(serve_gateway: Serve) -> None:
    """The handler joins nobody: a sender who is not in the group reaches it, and hears nothing back."""
    served = await serve_gateway(YAML)
    async with served.connect("/outside") as sender, served.connect("/fan") as member:
        await sender.send("hello")
        assert await member.recv() == "hello"
        assert served.node.publish("outside", "end") == 1
        assert await sender.recv() == "end"


async def test_member_that_left_gets_nothing(serve_gateway: Serve) -> None:
    """Those who stay get a message once when one of them has gone."""
    served = await serve_gateway(YAML)
    async with served.connect("/fan") as ada:
        async with served.connect("/fan") as bob:
            await ada.send("both")
            assert await ada.recv() == await bob.recv() == "both"
        await ada.send("alone")
        assert await ada.recv() == "alone"
        assert len(served.node.members("fan")) == 1


@pytest.mark.parametrize("options", ["group: ''", "group: 7", "grop: fan"])
async def test_bad_option_is_refused(serve_gateway: Serve, options: str) -> None:
    """A group without a name, one that is no text, and a misspelt key refuse to start."""
    with pytest.raises(GatewayError, match=options.partition(":")[0]):
        await serve_gateway(f"routes: [{{path: /bad, handlers: [{{name: fan, options: {{{options}}}}}]}}]")
