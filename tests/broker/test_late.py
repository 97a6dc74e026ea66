"""What comes late: through a link of a node that has ended, behind what came through its next one."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nodes import LINKED, Side, some_history, until
from tcp_proxy import TcpProxy

from gateway.broker import keeper
from gateway.broker.contract import Publication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    MakeSide = Callable[..., Awaitable[Side]]

CAUTIOUS = "user cautious on nopass ~* &* +@all -client|kill"


class Scene:
    """A node with two lines to one server, and another node with its own.

    Args:
        one: The node.
        lines: Its lines; it uses the first.
        two: The other node.
    """

    def __init__(self, one: Side, lines: list[TcpProxy], two: Side) -> None:
        self.one = one
        self.lines = lines
        self.two = two

    async def hold_back(self, group: str, *messages: str) -> None:
        """Have the first line hold back what the node publishes to a group; then it takes the second."""
        first = self.one.broker._keeper.link
        self.lines[0].swallow()
        for message in messages:
            self.one.broker.publish(Publication(group, message))
        await until(lambda: self.one.broker._keeper.link not in {first, None})

    async def bring(self) -> None:
        """Have the first line pass on what it has held back, until it has nothing more."""
        passing = self.lines[0].passing()
        self.lines[0].mend()
        await until(lambda: all(one.done() for one in passing))
        await self.one.settled()
        await self.two.settled()


@pytest.fixture(params=LINKED)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return request.param


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, kind: str, side: MakeSide, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """A function that makes a scene; its arguments are further settings of both nodes."""
    monkeypatch.setattr(keeper.random, "sample", lambda urls, _: list(urls))
    async with AsyncExitStack() as stack:

        async def stage(**settings: Any) -> Scene:
            if kind == "nats":
                server = request.getfixturevalue("nats_server")(jetstream=True)
            else:
                server = request.getfixturevalue("valkey_server")(CAUTIOUS)
            lines = [await stack.enter_async_context(TcpProxy(server.port)) for _ in range(2)]
            settings = {"prefix": secrets.token_hex(4), "history_of": some_history, **settings}
            scheme = urlsplit(server.url).scheme
            urls = [f"{scheme}://127.0.0.1:{line.port}" for line in lines]
            one = await side(kind, "one", urls=urls, probe_timeout_seconds=1, **settings)
            two = await side(kind, "two", urls=[server.url], **settings)
            two.join("plain", "plain 2", "kept")
            await one.settled()
            await two.settled()
            return Scene(one, lines, two)

        yield stage


def allowed(kind: str) -> dict[str, str]:
    """Give the settings of a user that may not end connections at the server."""
    return {"user": "cautious", "password": "x"} if kind == "valkey" else {}


async def test_it_is_left_out_of_groups_without_history(
    kind: str, stage: Callable[..., Awaitable[Scene]]
) -> None:
    """It is counted, its loss has been told, and what came through the next link is not followed by it."""
    scene = await stage(**allowed(kind))
    one, two = scene.one, scene.two
    await scene.hold_back("plain", "a", "b")
    one.broker.publish(Publication("plain 2", "c"))
    assert (await two.next()).message == "c"
    await until(lambda: two.gaps > 0)  # the node itself has told of the loss
    links, gaps = one.status.reconnects, two.gaps
    await scene.bring()
    await until(lambda: two.status.dropped["late"] == 1)  # two publications in one message
    one.broker.publish(Publication("plain", "d"))
    assert (await two.next()).message == "d"
    assert two.nothing_more
    if one.status.reconnects == links:
        assert two.gaps == gaps


async def test_notes_are_taken_however_late(kind: str, stage: Callable[..., Awaitable[Scene]]) -> None:
    """To revoke twice does no harm, and not to do it would."""
    scene = await stage(**allowed(kind))
    one, two = scene.one, scene.two
    scene.lines[0].swallow()
    one.broker.notify({"order": "early"})
    await until(lambda: not one.status.connected)
    await until(lambda: one.status.connected)
    one.broker.notify({"order": "later"})
    assert await two.next_note() == {"order": "later"}
    await until(lambda: two.gaps > 0)  # it may have been lost
    await scene.bring()
    assert await two.next_note() == {"order": "early"}
    assert two.status.dropped["late"] == 0


@pytest.mark.parametrize("kind", ["valkey"])
async def test_valkey_ends_the_former_link(stage: Callable[..., Awaitable[Scene]]) -> None:
    """What it was to bring is never kept, nor passed on."""
    scene = await stage()
    one, two = scene.one, scene.two
    await one.broker.store(Publication("kept", "first"))
    assert (await two.next()).message == "first"
    await scene.hold_back("kept", "a", "b")
    await scene.bring()
    one.broker.publish(Publication("plain", "c"))
    assert [(await two.next()).message for _ in range(2)] == ["", "c"]  # the mark of a loss, then it
    found = await two.broker.history("kept", None, 10)
    assert [(one.message, one.lost) for one in found.publications] == [("first", False), ("", True)]
    assert two.status.dropped["late"] == 0


@pytest.mark.parametrize("kind", ["nats"])
async def test_nats_keeps_it_where_it_comes(stage: Callable[..., Awaitable[Scene]]) -> None:
    """In a group with history its place is the engine's: behind the mark of a loss, alike for all nodes."""
    scene = await stage()
    one, two = scene.one, scene.two
    one.join("kept")
    await one.settled()
    await one.broker.store(Publication("kept", "first"))
    assert (await two.next()).message == "first"
    await scene.hold_back("kept", "a", "b")
    one.broker.publish(Publication("kept", "c"))
    assert [(await two.next()).message for _ in range(2)] == ["", "c"]
    await scene.bring()
    assert [(await two.next()).message for _ in range(2)] == ["a", "b"]
    found = await two.broker.history("kept", None, 10)
    assert [(one.message, one.lost) for one in found.publications] == [
        ("first", False),
        ("", True),
        ("c", False),
        ("a", False),
        ("b", False),
    ]
    assert tuple(await one.next_ones(5)) == found.publications
    assert await two.next_note() == {"order": "lost", "groups": ["kept"]}
    assert two.nothing_more
