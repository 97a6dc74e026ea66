"""What holds between nodes about history, over each engine."""

from __future__ import annotations

import asyncio
import io
import secrets
from functools import partial
from typing import TYPE_CHECKING

import pytest
from nodes import LINKED, Side, some_history, until

from gateway.broker.contract import Kept, Position, Publication
from gateway.core.trackers import Trackers
from gateway.observe.logs import make_logger
from gateway.observe.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture(params=LINKED)
def make(request: pytest.FixtureRequest, side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway, by their names."""
    return partial(side, request.param, prefix=secrets.token_hex(4), history_of=some_history)


@pytest.fixture
async def pair(make: MakeSide) -> tuple[Side, Side]:
    """Two nodes with a member of `news` each."""
    one, two = await make("one"), await make("two")
    for node in (one, two):
        node.join("news")
    for node in (one, two):
        await node.settled()
    return one, two


async def test_each_node_gets_the_same(pair: tuple[Side, Side]) -> None:
    """Every node, the publisher's own too, gets all in the order of the offsets, and reads the same later."""
    one, two = pair
    for number in range(50):
        one.broker.publish(Publication("news", f"one {number}"))
        two.broker.publish(Publication("news", f"two {number}"))
        if number % 10 == 0:
            await asyncio.sleep(0)
    arrived = await one.next_ones(100)
    assert await two.next_ones(100) == arrived
    offsets = [publication.offset for publication in arrived]
    assert offsets == sorted(set(offsets))
    assert [publication.previous for publication in arrived] == [0, *offsets[:-1]]
    for name in ("one", "two"):
        own = [one.message for one in arrived if one.message.startswith(name)]
        assert own == [f"{name} {number}" for number in range(50)]
    for node in pair:
        history = await node.broker.history("news", offsets[9], 1000)
        assert list(history.publications) == arrived[10:]
        await node.settled()
        assert node.nothing_more


async def test_one_epoch_for_all(make: MakeSide) -> None:
    """Nodes that begin a group's history at the same time begin one."""
    nodes = [await make(name) for name in ("one", "two", "three")]
    asked = [
        one
        for node in nodes
        for one in (node.broker.store(Publication("news", "x")), node.broker.history("news", None, 0))
    ]
    answers = await asyncio.gather(*asked)
    positions = [answer.position if isinstance(answer, Kept) else answer.newest for answer in answers]
    assert len({position.epoch for position in positions}) == 1
    stored = [answer.position.offset for answer in answers if isinstance(answer, Kept)]
    assert len(set(stored)) == len(nodes)
    histories = [await node.broker.history("news", None, 10) for node in nodes]
    assert histories[0] == histories[1] == histories[2]
    assert [one.offset for one in histories[0].publications] == sorted(stored)


async def test_a_repetition_on_another_node(pair: tuple[Side, Side]) -> None:
    """What one node has published another does not publish again, however close it tries."""
    one, two = pair
    publication = Publication("news", "x")
    tries = await asyncio.gather(
        *(node.broker.store(publication, idempotency_key="k") for _ in range(5) for node in pair)
    )
    later = await two.broker.store(publication, idempotency_key="k")
    arrived = await one.next()
    assert {kept.position for kept in (*tries, later)} == {Position(arrived.offset, arrived.epoch)}
    assert [kept.repeated for kept in (*tries, later)].count(False) == 1
    assert await two.next() == arrived
    for node in pair:
        await node.settled()
        assert node.nothing_more


async def test_what_is_not_in_the_answer_arrives(make: MakeSide) -> None:
    """A group that was joined before its history was read is received from there on."""
    one, two = await make("one"), await make("two")
    for number in range(20):
        group = f"news {number}"
        await one.broker.store(Publication(group, "before"))
        two.join(group)
        history = await two.broker.history(group, None, 10)
        assert [found.message for found in history.publications] == ["before"]
        await one.broker.store(Publication(group, "after"))
        arrived = await two.next()
        assert (arrived.group, arrived.message) == (group, "after")
        assert arrived.previous == history.newest.offset


async def test_beside_groups_without_history(pair: tuple[Side, Side]) -> None:
    """They share the connection, and each kind goes its way."""
    one, two = pair
    two.join("plain")
    await two.settled()
    for number in range(100):
        one.broker.publish(Publication(("plain", "news")[number % 2], str(number)))
    arrived = await two.next_ones(100)
    for group in ("plain", "news"):
        kept = [publication for publication in arrived if publication.group == group]
        assert [int(publication.message) for publication in kept] == list(range(group == "news", 100, 2))
        assert {bool(publication.offset) for publication in kept} == {group == "news"}
    assert set(two.status.dropped) == set()
    assert two.status.publications_refused == 0


async def test_a_node_without_members_receives_nothing(pair: tuple[Side, Side]) -> None:
    """Only those who have some are sent a group; history can be read by all."""
    one, two = pair
    two.leave("news")
    one.join("other")
    await one.settled()
    await two.broker.store(Publication("other", "x"))
    assert (await one.next()).message == "x"
    assert len((await two.broker.history("other", None, 10)).publications) == 1
    await two.settled()
    assert two.nothing_more


async def test_what_a_node_cannot_read_is_lost_to_it(make: MakeSide) -> None:
    """At its place stands that it is: when it arrives, and when the history is read; it is counted."""
    one, two = await make("one"), await make("two", max_message_bytes=2000)
    two.join("news")
    await two.settled()
    for message in ("a", "x" * 3000, "b"):
        await one.broker.store(Publication("news", message))
    arrived = await two.next_ones(3)
    assert [(one.message, one.lost) for one in arrived] == [("a", False), ("", True), ("b", False)]
    assert arrived[2].previous == arrived[1].offset > arrived[0].offset
    assert two.status.dropped["too_big"] == 1
    history = await two.broker.history("news", arrived[0].offset, 10)
    assert list(history.publications) == arrived[1:]
    read = await one.broker.history("news", None, 10)
    assert [len(one.message) for one in read.publications] == [1, 3000, 1]


async def test_a_client_of_such_a_node_is_told(make: MakeSide) -> None:
    """Members hear of a gap, and who resumes from before it is not recovered."""
    one, two = await make("one"), await make("two", max_message_bytes=2000)
    told: list[str] = []
    handed: list[str | bytes] = []

    def broadcast(publication: Publication) -> int:
        handed.append(publication.message)
        return 1

    log = make_logger("error", "json", io.StringIO())
    trackers = Trackers(two.broker, some_history, broadcast, told.append, Metrics(), log)
    two.broker._deliver = trackers.deliver
    trackers.subscribe("news")
    await two.settled()
    first = (await one.broker.store(Publication("news", "a"))).position
    for message in ("x" * 3000, "b"):
        await one.broker.store(Publication("news", message))
    await until(lambda: handed == ["a", "b"])
    assert told == ["news"]
    await trackers.prepare([trackers["news"]], {"news": first})
    assert trackers["news"].missed(first) is None
    trackers.close()
