"""Tests of the broker of a single process: what it promises besides the contract."""

from __future__ import annotations

from gateway.broker.contract import Publication
from gateway.broker.memory import MemoryBroker


async def test_a_publication_is_delivered_before_publish_returns() -> None:
    """The count that `publish` returns is whole, since no other node exists."""
    arrived: list[Publication] = []

    def deliver(publication: Publication) -> int:
        arrived.append(publication)
        return 3

    broker = MemoryBroker()
    await broker.start(deliver)
    publication = Publication("news", "now")
    assert broker.publish(publication) == 3
    assert arrived == [publication]
    assert arrived[0].message is publication.message


async def test_a_broker_that_has_not_started_reaches_no_one() -> None:
    """Publishing before the node has started is not an error."""
    assert MemoryBroker().publish(Publication("news", "early")) == 0
