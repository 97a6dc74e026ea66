"""Tests of the broker of a single process: what it promises besides the contract."""

from __future__ import annotations

import pytest

from gateway.broker import memory
from gateway.broker.contract import BrokerUnavailableError, Publication
from gateway.broker.memory import MemoryBroker


async def test_a_publication_is_delivered_before_publish_returns() -> None:
    """The count that `publish` returns is whole, since no other node exists."""
    arrived: list[Publication] = []

    def deliver(publication: Publication) -> int:
        arrived.append(publication)
        return 3

    broker = MemoryBroker()
    await broker.start(deliver, lambda _: 0, lambda: None)
    publication = Publication("news", "now")
    assert broker.publish(publication) == 3
    assert arrived == [publication]
    assert arrived[0].message is publication.message


async def test_a_broker_that_has_not_started_reaches_no_one() -> None:
    """Publishing before the node has started is not an error."""
    assert MemoryBroker().publish(Publication("news", "early")) == 0


async def test_claims_end_in_the_order_of_their_ends() -> None:
    """A claim ends at its own time, whenever it was made, and what has ended is forgotten."""
    now = 100.0
    broker = MemoryBroker(clock=lambda: now)
    await broker.start(lambda _: 0, lambda _: 0, lambda: None)
    assert await broker.claim("long", 20)
    assert await broker.claim("short", 5)
    now = 104.9
    assert not await broker.claim("short", 5)
    now = 105.0
    assert await broker.claim("short", 5)
    assert not await broker.claim("long", 20)
    now = 120.0
    assert await broker.claim("other", 1)
    assert (broker._claimed, len(broker._ends)) == ({"other"}, 1)


async def test_claims_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit a new key is neither granted nor denied, until an old one has ended."""
    monkeypatch.setattr(memory, "MOST_CLAIMS", 2)
    now = 0.0
    broker = MemoryBroker(clock=lambda: now)
    await broker.start(lambda _: 0, lambda _: 0, lambda: None)
    assert await broker.claim("a", 1)
    assert await broker.claim("b", 2)
    with pytest.raises(BrokerUnavailableError, match="too many claims, limit 2"):
        await broker.claim("c", 1)
    assert not await broker.claim("a", 1)
    now = 1.0
    assert await broker.claim("c", 1)
