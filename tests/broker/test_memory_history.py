"""Tests of history in memory: what it promises besides the contract."""

from __future__ import annotations

import pytest

from gateway.broker import memory_history
from gateway.broker.contract import (
    BrokerUnavailableError,
    History,
    HistoryPolicy,
    Kept,
    Position,
    Publication,
)
from gateway.broker.memory import MemoryBroker

POLICY = HistoryPolicy("room:*", 3, 10.0)


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock by which publications run out."""
    return Clock()


@pytest.fixture
def arrived() -> list[Publication]:
    """What was delivered."""
    return []


@pytest.fixture
async def broker(clock: Clock, arrived: list[Publication]) -> MemoryBroker:
    """A broker where rooms keep three publications for ten seconds."""
    broker = MemoryBroker(lambda group: POLICY if group.startswith("room:") else None, 60, clock)

    def deliver(publication: Publication) -> int:
        arrived.append(publication)
        return 2

    await broker.start(deliver, lambda _: 0, lambda: None)
    return broker


def offsets(history: History) -> list[int]:
    """Give the offsets of publications."""
    return [publication.offset for publication in history.publications]


async def test_a_publication_is_delivered_at_once(broker: MemoryBroker, arrived: list[Publication]) -> None:
    """With its place; others have none."""
    assert broker.publish(Publication("room:1", "a", exclude="c", key="k")) == 2
    assert broker.publish(Publication("news", "b")) == 2
    epoch = arrived[0].epoch
    assert epoch
    assert arrived == [
        Publication("room:1", "a", exclude="c", key="k", offset=1, previous=0, epoch=epoch),
        Publication("news", "b"),
    ]


async def test_groups_share_a_counter(broker: MemoryBroker, arrived: list[Publication]) -> None:
    """Offsets of a group grow; each publication names the one before it in its own group."""
    for group in ("room:1", "room:2", "room:1", "room:1"):
        broker.publish(Publication(group, "x"))
    assert [(one.offset, one.previous) for one in arrived] == [(1, 0), (2, 0), (3, 1), (4, 3)]
    assert offsets(await broker.history("room:2", None, 10)) == [2]


async def test_what_is_over_the_size_is_dropped(broker: MemoryBroker, clock: Clock) -> None:
    """The oldest first; that shows as long as it would have been kept otherwise."""
    for number in range(5):
        broker.publish(Publication("room:1", str(number)))
    found = await broker.history("room:1", 0, 10)
    assert (offsets(found), found.floor, found.whole) == ([3, 4, 5], 2, False)
    clock.now += 9
    broker.publish(Publication("room:1", "5"))
    clock.now += 1
    found = await broker.history("room:1", None, 10)
    assert (offsets(found), found.floor, found.whole) == ([6], 5, True)


async def test_a_forgotten_group_goes_on_behind_where_it_was(broker: MemoryBroker, clock: Clock) -> None:
    """Its members' position is not behind anything new, and nothing of it is left in memory."""
    broker.publish(Publication("room:1", "a"))
    broker.publish(Publication("room:2", "b"))
    clock.now += 10
    found = await broker.history("room:1", 1, 10)
    assert (offsets(found), found.newest.offset, found.floor, found.whole) == ([], 2, 2, True)
    history = broker._history
    assert (history._groups, history._ends) == ({}, [])
    broker.publish(Publication("room:1", "c"))
    found = await broker.history("room:1", 2, 10)
    assert (offsets(found), found.floor) == ([3], 2)
    assert found.publications[0].previous == 0


async def test_groups_are_forgotten_whoever_publishes(broker: MemoryBroker, clock: Clock) -> None:
    """A group that is never published to again takes no memory for ever, nor one that is all the time."""
    for number in range(100):
        broker.publish(Publication(f"room:{number}", "x"))
    for _ in range(1000):
        clock.now += 1
        broker.publish(Publication("room:0", "x"))
    history = broker._history
    assert (list(history._groups), len(history._ends)) == (["room:0"], 1)
    assert len(history._groups["room:0"].kept) == 3


async def test_every_process_has_its_own_epoch(broker: MemoryBroker) -> None:
    """What one process counted says nothing in another."""
    other = MemoryBroker(lambda _: POLICY)
    await other.start(lambda _: 0, lambda _: 0, lambda: None)
    assert (await other.history("room:1", None, 1)).newest.epoch != (
        await broker.history("room:1", None, 1)
    ).newest.epoch


async def test_a_key_is_known_for_its_time(broker: MemoryBroker, clock: Clock) -> None:
    """A repetition is not delivered, does not prolong it, and is told even if the first has run out."""
    first = await broker.store(Publication("room:1", "a"), "k")
    assert not first.repeated
    clock.now += 59
    assert await broker.store(Publication("room:1", "a"), "k") == Kept(first.position, repeated=True)
    assert not (await broker.store(Publication("room:2", "a"), "k")).repeated
    clock.now += 1
    again = await broker.store(Publication("room:1", "a"), "k")
    assert again == Kept(Position(3, first.position.epoch))
    clock.now += 60
    assert await broker.store(Publication("room:1", "a")) == Kept(Position(4, first.position.epoch))
    assert list(broker._history._keys) == [("room:2", "k"), ("room:1", "k")]
    await broker.store(Publication("room:1", "a"), "other")
    assert list(broker._history._keys) == [("room:1", "other")]


async def test_keys_are_bounded(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that could not be known is refused, and nothing is published; known ones are known still."""
    monkeypatch.setattr(memory_history, "MOST_KEYS", 1)
    await broker.store(Publication("room:1", "a"), "k")
    with pytest.raises(BrokerUnavailableError, match="too many idempotency keys, limit 1"):
        await broker.store(Publication("room:1", "a"), "l")
    assert (await broker.store(Publication("room:1", "a"), "k")).repeated
    assert (await broker.history("room:1", None, 1)).newest.offset == 1


async def test_a_stopped_broker_keeps_nothing(broker: MemoryBroker) -> None:
    """Publishing is no error, and has no effect."""
    await broker.stop()
    assert broker.publish(Publication("room:1", "a")) == 0
    with pytest.raises(BrokerUnavailableError, match="not started"):
        await broker.store(Publication("room:1", "a"))
    with pytest.raises(BrokerUnavailableError, match="not started"):
        await broker.history("room:1", None, 1)
    with pytest.raises(ValueError, match="keeps no history"):
        await broker.history("news", None, 1)
