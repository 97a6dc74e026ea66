"""The contract of brokers: one suite that runs over each of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from gateway.broker.contract import Broker, Publication
from gateway.broker.memory import MemoryBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

BROKERS: Final[Mapping[str, Callable[[], Broker]]] = {"memory": MemoryBroker}
"""Makes a broker that is not started; a new kind of broker joins the suite with a line here."""

PATIENCE_SECONDS: Final = 10


class Arrivals:
    """What a broker has handed to its node: publications of the groups that it has subscribed to.

    A broker may hand over more, as the hub of a node passes over what no member of it waits for.
    """

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self._queue: asyncio.Queue[Publication] = asyncio.Queue()

    def deliver(self, publication: Publication) -> int:
        """Take a publication, as the hub does."""
        if publication.group not in self.subscribed:
            return 0
        self._queue.put_nowait(publication)
        return 1

    async def next(self) -> Publication:
        """Wait for the next one."""
        return await asyncio.wait_for(self._queue.get(), PATIENCE_SECONDS)


class TestContract:
    """What every broker promises to the node that it serves."""

    @pytest.fixture
    def arrivals(self) -> Arrivals:
        """What comes back."""
        return Arrivals()

    @pytest.fixture(params=BROKERS.values(), ids=BROKERS.keys())
    async def broker(self, request: pytest.FixtureRequest, arrivals: Arrivals) -> AsyncIterator[Broker]:
        """A broker that is started."""
        broker: Broker = request.param()
        await broker.start(arrivals.deliver)
        yield broker
        await broker.stop()

    def subscribe(self, broker: Broker, arrivals: Arrivals, *groups: str) -> None:
        """Begin to receive groups."""
        for group in groups:
            arrivals.subscribed.add(group)
            broker.subscribe(group)

    async def test_a_publication_comes_as_it_was_made(self, broker: Broker, arrivals: Arrivals) -> None:
        """Group, text or bytes, and who is left out come through unchanged."""
        self.subscribe(broker, arrivals, "news", "$user:ann")
        publications = [
            Publication("news", "grüße, 世界"),
            Publication("news", ""),
            Publication("news", b"\x00\xff"),
            Publication("news", b""),
            Publication("$user:ann", "for one", exclude="connection-7"),
        ]
        for publication in publications:
            broker.publish(publication)
        arrived = [await arrivals.next() for _ in publications]
        assert arrived == publications
        assert [type(publication.message) for publication in arrived] == [str, str, bytes, bytes, str]

    async def test_publications_of_one_publisher_stay_in_order(
        self, broker: Broker, arrivals: Arrivals
    ) -> None:
        """One publisher's publications arrive once each, in the order of the calls, over groups too."""
        self.subscribe(broker, arrivals, "a", "b")
        publications = [Publication("ab"[number % 2], str(number)) for number in range(500)]
        for publication in publications:
            broker.publish(publication)
        assert [await arrivals.next() for _ in publications] == publications

    async def test_publish_counts_whom_it_reached_before_it_returned(
        self, broker: Broker, arrivals: Arrivals
    ) -> None:
        """The result counts the members here that have it by then: none where nobody is subscribed."""
        assert broker.publish(Publication("nobody", "x")) == 0
        self.subscribe(broker, arrivals, "news")
        count = broker.publish(Publication("news", "x"))
        assert count in {0, 1}
        assert (await arrivals.next()).message == "x"

    async def test_a_group_is_received_until_it_is_left(self, broker: Broker, arrivals: Arrivals) -> None:
        """After `unsubscribe` a group may come no more; after another `subscribe` it comes again."""
        self.subscribe(broker, arrivals, "news", "other")
        broker.publish(Publication("news", "first"))
        assert (await arrivals.next()).message == "first"
        arrivals.subscribed.discard("news")
        broker.unsubscribe("news")
        broker.publish(Publication("news", "unseen"))
        broker.publish(Publication("other", "second"))
        assert (await arrivals.next()).message == "second"
        self.subscribe(broker, arrivals, "news")
        broker.publish(Publication("news", "third"))
        assert (await arrivals.next()).message == "third"

    async def test_a_stopped_broker_takes_publications_without_an_error(
        self, broker: Broker, arrivals: Arrivals
    ) -> None:
        """What a handler publishes at the very end reaches no one, and harms no one."""
        self.subscribe(broker, arrivals, "news")
        await broker.stop()
        assert broker.publish(Publication("news", "late")) == 0
        broker.unsubscribe("news")
