"""The contract of brokers: one suite that runs over each of them. Next door is what holds between nodes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from nodes import KINDS, PATIENCE_SECONDS, Side

from gateway.broker.contract import BrokerUnavailableError, Publication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture(params=KINDS)
async def node(request: pytest.FixtureRequest, side: Callable[..., Awaitable[Side]]) -> Side:
    """A broker that is started, and what comes back."""
    return await side(request.param)


async def test_a_publication_comes_as_it_was_made(node: Side) -> None:
    """Group, text or bytes, key, and who is left out come through unchanged, before `publish` returns."""
    node.join("news", "$user:ann")
    publications = [
        Publication("news", "grüße, 世界"),
        Publication("news", ""),
        Publication("news", b"\x00\xff"),
        Publication("news", b"", key="state"),
        Publication("$user:ann", "for one", exclude="connection-7"),
    ]
    assert [node.broker.publish(publication) for publication in publications] == [1] * 5
    arrived = [await node.next() for _ in publications]
    assert arrived == publications
    assert [type(publication.message) for publication in arrived] == [str, str, bytes, bytes, str]


async def test_a_publication_comes_once(node: Side) -> None:
    """What the engine sends back to the publisher is dropped, and counted as its own."""
    node.join("news")
    await node.settled()
    for number in range(100):
        node.broker.publish(Publication("news", str(number)))
    assert [(await node.next()).message for _ in range(100)] == [str(number) for number in range(100)]
    await node.settled()
    assert node.nothing_more
    assert set(node.status.dropped) <= {"own"}


async def test_publications_of_one_publisher_stay_in_order(node: Side) -> None:
    """One publisher's publications arrive once each, in the order of the calls, over groups too."""
    node.join("a", "b")
    publications = [Publication("ab"[number % 2], str(number)) for number in range(500)]
    for publication in publications:
        node.broker.publish(publication)
    assert [await node.next() for _ in publications] == publications


async def test_publish_counts_whom_it_reached(node: Side) -> None:
    """The result counts the members here: none where nobody is subscribed."""
    assert node.broker.publish(Publication("nobody", "x")) == 0
    node.join("news")
    assert node.broker.publish(Publication("news", "x")) == 1


async def test_a_note_comes_to_its_sender(node: Side) -> None:
    """Notes come as they were made, in order and once, without a subscription."""
    nested = {"claims": {"teams": ["x", "y"], "level": 3, "admin": True, "boss": None}, "text": "grüße"}
    for note in (nested, {}, {"order": "last"}):
        assert node.broker.notify(note) == 1
    assert [await node.next_note() for _ in range(3)] == [nested, {}, {"order": "last"}]
    await node.settled()
    assert node.nothing_more


async def test_a_group_is_received_until_it_is_left(node: Side) -> None:
    """After `unsubscribe` a group may come no more; after another `subscribe` it comes again."""
    node.join("news", "other")
    node.broker.publish(Publication("news", "first"))
    assert (await node.next()).message == "first"
    node.leave("news")
    node.broker.publish(Publication("news", "unseen"))
    node.broker.publish(Publication("other", "second"))
    assert (await node.next()).message == "second"
    node.join("news")
    node.broker.publish(Publication("news", "third"))
    assert (await node.next()).message == "third"


async def test_leaving_what_was_never_joined_is_harmless(node: Side) -> None:
    """A group that is not received can be left, and left twice."""
    node.leave("news")
    node.join("news")
    node.leave("news", "news")


async def test_a_stopped_broker_takes_publications_without_an_error(node: Side) -> None:
    """What a handler publishes at the very end reaches no one, and harms no one; a second stop neither."""
    node.join("news")
    await node.broker.stop()
    assert node.broker.publish(Publication("news", "late")) == 0
    assert node.broker.notify({"order": "late"}) == 0
    node.leave("news")
    node.join("news")
    await node.broker.stop()
    assert node.nothing_more
    assert {line["level"] for line in node.log} <= {"info"}


async def test_a_broker_that_runs_is_up(node: Side) -> None:
    """Its status says that it is connected and has been proved good, and nothing was lost."""
    now = asyncio.get_running_loop().time()
    assert node.status.connected
    assert node.status.since <= now
    assert not node.status.is_down(now)
    figures = (node.status.reconnects, node.status.publications_lost, node.status.publications_unproved)
    assert figures == (0, 0, 0)
    assert node.gaps == 0


async def test_a_key_is_claimed_once(node: Side) -> None:
    """Of many claims of a key one is true, whatever text it is, and other keys are not touched by them."""
    claims = await asyncio.gather(*(node.broker.claim("ticket:7", 60) for _ in range(20)))
    assert sorted(claims) == [False] * 19 + [True]
    for key in ("ticket:8", "a key > of any * text.", "世界" * 500, "\ud800"):
        assert await node.broker.claim(key, 60)
        assert not await node.broker.claim(key, 60)


async def test_a_claim_ends(node: Side) -> None:
    """After its seconds, perhaps rounded up, a key can be claimed anew; claims in between prolong nothing."""
    assert await node.broker.claim("ticket:7", 0.05)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await claims_anew(node):
            await asyncio.sleep(0.01)
    assert not await node.broker.claim("ticket:7", 60)


async def claims_anew(node: Side) -> bool:
    """Claim the key again; an engine that is too busy to answer in time is asked once more."""
    with suppress(BrokerUnavailableError):
        return await node.broker.claim("ticket:7", 60)
    return False


async def test_a_stopped_broker_grants_no_claim(node: Side) -> None:
    """Without its engine a broker says neither yes nor no."""
    await node.broker.stop()
    with pytest.raises(BrokerUnavailableError):
        await node.broker.claim("ticket:7", 60)
