"""What becomes of publications to groups with history when the engine cannot be reached: over each one."""

from __future__ import annotations

import asyncio
import secrets
import socket
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nodes import LINKED, Side, some_history, until
from tcp_proxy import TcpProxy

from gateway.broker.contract import BrokerUnavailableError, Publication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture(params=LINKED)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return request.param


@pytest.fixture
def server(servers: Any, kind: str) -> Any:
    """The server that tests share: what fails here is the line to it."""
    return getattr(servers, kind)


@pytest.fixture
def make(side: MakeSide, kind: str) -> MakeSide:
    """A function that starts nodes of one gateway, which give up on a probe after a quarter of a second."""
    prefix = secrets.token_hex(4)
    return partial(side, kind, prefix=prefix, history_of=some_history, probe_timeout_seconds=0.25)


class Line(TcpProxy):
    """A line to the server."""

    def url(self, server: Any) -> str:
        """Give the server's URL through this line."""
        return f"{urlsplit(server.url).scheme}://127.0.0.1:{self.port}"


@pytest.fixture
async def line(server: Any) -> AsyncIterator[Line]:
    """A line to the server that can be cut."""
    async with Line(server.port) as line:
        yield line


@pytest.fixture
async def pair(make: MakeSide, server: Any, line: Line) -> tuple[Side, Side]:
    """Two nodes with a member of `news` each; the line of the first can be cut."""
    one, two = await make("one", urls=[line.url(server)]), await make("two", urls=[server.url])
    for node in (one, two):
        node.join("news")
    for node in (one, two):
        await node.settled()
    await one.broker.store(Publication("news", "at first"))
    for node in (one, two):
        await node.next()
    return one, two


async def cut(node: Side, line: Line) -> None:
    """Cut a node off, and wait until it knows; the line carries nothing until it is mended."""
    line.swallow()
    line.break_off()
    await until(lambda: not node.status.connected)


async def test_what_waits_leaves_after_a_reconnect(pair: tuple[Side, Side], line: Line) -> None:
    """Nothing that was published without a connection is lost, and its order is kept; so is the epoch."""
    one, two = pair
    await cut(one, line)
    for number in range(50):
        assert one.broker.publish(Publication("news", str(number))) == 0
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await one.broker.store(Publication("news", "never"))
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await one.broker.history("news", None, 1)
    line.mend()
    arrived = await two.next_ones(50)
    assert [publication.message for publication in arrived] == [str(number) for number in range(50)]
    history = await two.broker.history("news", None, 100)
    assert len({publication.epoch for publication in history.publications}) == 1
    assert [publication.message for publication in history.publications][:2] == ["at first", "0"]
    assert list(history.publications[1:]) == arrived
    assert await one.next_ones(50) == arrived
    assert (one.status.publications_lost, one.status.publications_unproved) == (0, 0)
    for node in pair:
        await node.settled()
        assert node.nothing_more


async def test_the_history_fills_the_hole(pair: tuple[Side, Side], line: Line) -> None:
    """What a node missed while it was cut off it reads from where it was."""
    one, two = pair
    position = (await one.broker.history("news", None, 0)).newest
    await cut(one, line)
    for number in range(10):
        await two.broker.store(Publication("news", str(number)))
    line.mend()
    await until(lambda: one.gaps == 1)
    history = await one.broker.history("news", position.offset, 100)
    assert [publication.message for publication in history.publications] == [str(n) for n in range(10)]
    assert (history.newest.epoch, history.floor) == position[::-1]
    later = await two.broker.store(Publication("news", "later"))
    arrived = await one.next()
    assert (arrived.previous, arrived.offset) == (history.newest.offset, later.position.offset)


async def test_what_was_on_its_way_is_told(pair: tuple[Side, Side], line: Line) -> None:
    """It may be kept or not: it is counted, and every node gets a note, and a word in each history."""
    one, two = pair
    line.swallow()
    groups = ["news", "a", "b"]
    for group in groups:
        one.broker.publish(Publication(group, "x"))
    with pytest.raises(BrokerUnavailableError):
        await one.broker.store(Publication("c", "x"))
    await until(lambda: not one.status.connected)
    line.break_off()
    line.mend()
    for node in pair:
        note = await node.next_note()
        assert note["order"] == "lost"
        assert set(groups) <= set(note["groups"]) <= {*groups, "c"}
    assert one.status.publications_unproved in {3, 4}
    assert (two.status.publications_unproved, one.status.publications_lost) == (0, 0)
    await one.settled()
    await one.broker.store(Publication("news", "at last"))
    for node in pair:
        arrived = [await node.next()]
        while arrived[-1].message != "at last":
            arrived.append(await node.next())
        assert [one.message for one in arrived if not one.lost] in (["x", "at last"], ["at last"])
        assert [one.lost for one in arrived][-2:] == [True, False]


async def test_many_groups_on_their_way(pair: tuple[Side, Side], line: Line) -> None:
    """A note names a hundred groups at most; where there are more, it may have been any."""
    one, _ = pair
    line.swallow()
    for number in range(101):
        one.broker.publish(Publication(f"group {number}", "x"))
    await until(lambda: not one.status.connected)
    line.mend()
    for node in pair:
        assert await node.next_note() == {"order": "lost", "groups": []}
    assert one.status.publications_unproved == 101


async def test_too_much_waits(make: MakeSide, server: Any, line: Line) -> None:
    """What finds no room fails where it is published, and what has found some is not lost."""
    one = await make("one", urls=[line.url(server)], send_buffer_bytes=65_536)
    one.join("news")
    await one.settled()
    await cut(one, line)
    for number in range(6):
        one.broker.publish(Publication("news", f"{number:10000}"))
    with pytest.raises(BrokerUnavailableError, match="too much waits"):
        one.broker.publish(Publication("news", f"{6:10000}"))
    line.mend()
    assert [int((await one.next()).message) for _ in range(6)] == list(range(6))
    one.broker.publish(Publication("news", "room again"))
    assert (await one.next()).message == "room again"


async def test_refusing(make: MakeSide, server: Any, line: Line) -> None:
    """With `when_down: refuse` nothing waits for a connection."""
    one = await make("one", urls=[line.url(server)], when_down="refuse")
    one.join("news")
    await one.settled()
    await cut(one, line)
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        one.broker.publish(Publication("news", "x"))
    line.mend()
    await until(lambda: one.status.connected)
    one.broker.publish(Publication("news", "y"))
    assert (await one.next()).message == "y"


async def test_no_server(make: MakeSide, kind: str) -> None:
    """A node that has never had a connection says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        one = await make("one", urls=[f"{kind}://127.0.0.1:{taken.getsockname()[1]}"])
    for asked in (one.broker.store(Publication("news", "x")), one.broker.history("news", None, 1)):
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await asked


async def test_no_answer(pair: tuple[Side, Side], line: Line) -> None:
    """A line that falls silent is no answer, in no longer than a probe may take, and harms nothing later."""
    one, _ = pair
    line.swallow()
    asked = [
        one.broker.store(Publication("news", "x"), idempotency_key="k"),
        one.broker.history("news", 0, 1),
    ]
    answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert {type(answer) for answer in answers} == {BrokerUnavailableError}
    line.break_off()
    line.mend()
    await until(lambda: one.status.reconnects == 1)
    first = await one.broker.store(Publication("news", "x"), idempotency_key="k")
    again = await one.broker.store(Publication("news", "x"), idempotency_key="k")
    assert (again.position, again.repeated) == (first.position, True)
    assert [one.message for one in (await one.broker.history("news", None, 9)).publications].count("x") == 1
