"""What brokers promise between nodes: one suite that runs over each that connects some."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import TYPE_CHECKING

import pytest
from nodes import LINKED, Side, until

from gateway.broker import subscriptions
from gateway.broker.contract import MessageTooBigError, Publication
from gateway.broker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture(params=LINKED)
def make(request: pytest.FixtureRequest, side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway; its arguments are those of `side`, without the kind."""
    return partial(side, request.param, prefix=secrets.token_hex(4))


@pytest.fixture
async def pair(make: MakeSide) -> tuple[Side, Side]:
    """Two nodes of one gateway."""
    return await make("one"), await make("two")


async def send_raw(node: Side, channel: str, data: bytes) -> None:
    """Send what a broken or hostile node might."""
    await node.broker._keeper.link.send([(channel, data)])


async def test_a_publication_reaches_the_other_nodes_members(pair: tuple[Side, Side]) -> None:
    """It comes as it was made, once, and the count is of the publisher's own members."""
    one, two = pair
    two.join("news", "$user:ann")
    await two.settled()
    publications = [
        Publication("news", "grüße, 世界", exclude="connection-7", key="state"),
        Publication("news", ""),
        Publication("news", b"\x00\xff"),
        Publication("news", b""),
        Publication("$user:ann", "for one"),
    ]
    assert [one.broker.publish(publication) for publication in publications] == [0] * 5
    assert [await two.next() for _ in publications] == publications
    await two.settled()
    assert two.nothing_more


async def test_order_holds_over_groups(pair: tuple[Side, Side]) -> None:
    """What one node publishes arrives in the order of the calls, whatever groups it goes to, in bursts."""
    one, two = pair
    groups = ("a", "b", "c")
    two.join(*groups)
    await two.settled()
    publications = [
        Publication(groups[(number // 3) % 3 if number % 2 else number % 3], str(number))
        for number in range(3000)
    ]
    for number, publication in enumerate(publications):
        one.broker.publish(publication)
        if number % 100 == 0:
            await asyncio.sleep(0)
    assert [await two.next() for _ in publications] == publications


@pytest.mark.parametrize(
    "group", ["a b", "a.b", "*", ">", "a.>", "", "\r\nPUB x 0\r\n", "世" * 4000, "\ud800"]
)
async def test_any_text_is_a_group(pair: tuple[Side, Side], group: str) -> None:
    """What means something to the engine, or is very long, does not when it names a group."""
    one, two = pair
    two.join(group)
    await two.settled()
    one.broker.publish(Publication("other", "not this"))
    one.broker.publish(Publication(group, "this"))
    assert await two.next() == Publication(group, "this")


async def test_a_node_without_members_receives_nothing(
    pair: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group's publications go to nodes that have members of it, and to no others."""
    one, two = pair
    two.join("here")
    await two.settled()
    arrived: list[str] = []
    read = Wire.read_publications
    monkeypatch.setattr(
        Wire, "read_publications", lambda wire, data, group: arrived.append(group) or read(wire, data, group)
    )
    one.broker.publish(Publication("elsewhere", "x"))
    one.broker.publish(Publication("here", "y"))
    assert (await two.next()).message == "y"
    assert arrived == ["here"]


async def test_a_group_is_left_after_a_while(
    pair: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who leaves and comes back at once costs the engine nothing; who stays away is received no more."""
    one, two = pair
    told: list[tuple[list[str], list[str]]] = []
    link = two.broker._keeper.link
    subscribe, unsubscribe = link.subscribe, link.unsubscribe

    async def asked(channels: list[str]) -> None:
        told.append((channels, []))
        await subscribe(channels)

    async def left(channels: list[str]) -> None:
        told.append(([], channels))
        await unsubscribe(channels)

    monkeypatch.setattr(link, "subscribe", asked)
    monkeypatch.setattr(link, "unsubscribe", left)
    monkeypatch.setattr(subscriptions, "LINGER_SECONDS", 0.05)
    channel = two.broker._channels.of_group("news")
    two.join("news")
    await until(lambda: told == [([channel], [])])
    two.leave("news")
    two.join("news")
    two.leave("news")
    await until(lambda: told == [([channel], []), ([], [channel])])
    await two.settled()
    monkeypatch.setattr(two.broker, "_deliver", lambda publication: pytest.fail(str(publication)))
    one.broker.publish(Publication("news", "too late"))
    await one.settled()
    await two.settled()


async def test_a_note_comes_to_every_node(pair: tuple[Side, Side]) -> None:
    """Notes come as they were made, in order and once, to nodes without any member too."""
    one, two = pair
    nested = {"claims": {"teams": ["x", "y"], "level": 3, "admin": True, "boss": None}, "text": "grüße"}
    for note in (nested, {}, {"order": "last"}):
        one.broker.notify(note)
    assert [await two.next_note() for _ in range(3)] == [nested, {}, {"order": "last"}]
    assert [await one.next_note() for _ in range(3)] == [nested, {}, {"order": "last"}]
    await two.settled()
    assert one.nothing_more
    assert two.nothing_more


async def test_a_note_that_is_no_plain_data_is_refused(make: MakeSide) -> None:
    """Nothing is done then, here or elsewhere."""
    node = await make()
    for value in ({1, 2}, object(), b"bytes", {1: "x"}, 2**70, [[object()]]):
        with pytest.raises(ValueError, match="note"):
            node.broker.notify({"value": value})
    assert node.nothing_more


async def test_a_key_is_claimed_once_over_all_nodes(pair: tuple[Side, Side]) -> None:
    """Of the claims of two nodes one is true."""
    claims = await asyncio.gather(*(node.broker.claim("ticket:7", 60) for _ in range(5) for node in pair))
    assert sorted(claims) == [False] * 9 + [True]


async def test_gateways_of_different_prefixes_do_not_hear_each_other(make: MakeSide) -> None:
    """One engine serves several gateways, and each has its own groups, notes and claims."""
    one, stranger, two = await make("one"), await make("two", prefix="stranger"), await make("three")
    for node in (stranger, two):
        node.join("news")
        await node.settled()
    one.broker.publish(Publication("news", "x"))
    one.broker.notify({"order": "x"})
    assert await one.broker.claim("ticket:7", 60)
    assert (await two.next()).message == "x"
    assert await two.next_note() == {"order": "x"}
    assert await stranger.broker.claim(f"ticket:{secrets.token_hex(4)}", 60)
    await stranger.settled()
    assert stranger.nothing_more


async def test_the_size_of_a_message_is_limited(make: MakeSide) -> None:
    """At the limit a publication travels; above it publishing fails, and no one has got it."""
    one, two = [await make(name, max_message_bytes=2000) for name in ("one", "two")]
    for node in (one, two):
        node.join("news")
        await node.settled()
    packed = len(one.broker._wire.pack(Publication("news", b"x" * 1000))) - 1000
    longest = 2000 - one.broker._wire.overhead - packed
    assert longest > 1950
    one.broker.publish(Publication("news", b"x" * longest))
    assert len((await two.next()).message) == longest
    await one.next()
    with pytest.raises(MessageTooBigError, match="2001 bytes, limit 2000"):
        one.broker.publish(Publication("news", b"x" * (longest + 1)))
    with pytest.raises(MessageTooBigError, match="limit 2000"):
        one.broker.notify({"text": "x" * 2000})
    await two.settled()
    assert one.nothing_more
    assert two.nothing_more


async def test_many_publications_at_once_are_no_message_that_is_too_big(make: MakeSide) -> None:
    """Publications travel together as far as the limit allows."""
    one, two = [await make(name, max_message_bytes=1024) for name in ("one", "two")]
    two.join("news")
    await two.settled()
    for number in range(500):
        one.broker.publish(Publication("news", f"{number:0100}"))
    assert [int((await two.next()).message) for _ in range(500)] == list(range(500))


async def test_poisoned_messages_are_dropped_and_counted(make: MakeSide) -> None:
    """Junk, another version, what is too big and what claims to be from here do no harm."""
    one, two = await make("one"), await make("two", max_message_bytes=2000)
    two.join("news")
    await two.settled()
    wire, channels = one.broker._wire, one.broker._channels
    group = channels.of_group("news")
    good = wire.publications([wire.pack(Publication("news", "good"))])
    own = two.broker._wire.publications([wire.pack(Publication("news", "own"))])
    for channel in (group, channels.notices):
        await send_raw(one, channel, b"")
        await send_raw(one, channel, b"junk")
        await send_raw(one, channel, good[:-1])
        await send_raw(one, channel, bytes([good[0] + 1]) + good[1:])
        await send_raw(one, channel, own)
    await send_raw(one, group, b"\x01" + b"\x00" * 2000)
    await send_raw(one, two.broker._channels.probe, b"12345678901")
    await send_raw(one, group, good)
    assert (await two.next()).message == "good"
    dropped = two.status.dropped
    assert dropped == {"junk": 4, "version": 4, "own": 2, "too_big": 1}
    assert two.nothing_more
    assert two.status.connected
    assert 1 <= len(two.events("broker_message_dropped")) <= 2


async def test_what_a_node_fails_at_harms_nothing_else(
    pair: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication or a note that raises where it is taken is logged; what follows comes."""
    one, two = pair
    two.join("news")
    await two.settled()
    deliver, notified = two.broker._deliver, two.broker._notified

    def fragile(publication: Publication) -> int:
        if publication.message == "bad":
            raise RuntimeError("at the hub")
        return int(deliver(publication))

    def fastidious(note: dict[str, str]) -> int:
        if not note:
            raise ValueError("no order")
        return int(notified(note))

    monkeypatch.setattr(two.broker, "_deliver", fragile)
    monkeypatch.setattr(two.broker, "_notified", fastidious)
    for message in ("bad", "good"):
        one.broker.publish(Publication("news", message))
    assert (await two.next()).message == "good"
    assert [line["level"] for line in two.events("broker_delivery_failed")] == ["warning"]
    for note in ({}, {"order": "x"}):
        one.broker.notify(note)
    assert await two.next_note() == {"order": "x"}
    assert two.status.connected
    assert two.status.reconnects == 0


async def test_a_lost_connection_is_made_anew(pair: tuple[Side, Side]) -> None:
    """Every subscription holds again, the gap is told once, and own members have missed nothing meanwhile."""
    one, two = pair
    for node in pair:
        node.join("news")
        await node.settled()
    two.broker._keeper.link.abort()
    await until(lambda: not two.status.connected)
    assert two.broker.publish(Publication("news", "meanwhile")) == 1
    assert (await two.next()).message == "meanwhile"
    await until(lambda: two.gaps == 1)
    assert two.status.connected
    assert (two.status.reconnects, two.status.publications_lost) == (1, 1)
    one.broker.publish(Publication("news", "after"))
    assert (await two.next()).message == "after"
    assert (await one.next()).message == "after"
    # The other node is told that it has missed what was published in between.
    await until(lambda: one.gaps == 1)
    await one.settled()
    assert one.nothing_more
    assert (one.gaps, two.gaps, one.status.reconnects) == (1, 1, 0)
    assert [line["lost"] for line in two.events("broker_disconnected")] == [0]


async def test_notes_wait_for_a_connection(pair: tuple[Side, Side]) -> None:
    """An order that is given meanwhile is carried out here at once, and elsewhere as soon as can be."""
    one, two = pair
    two.broker._keeper.link.abort()
    await until(lambda: not two.status.connected)
    assert two.broker.notify({"order": "x"}) == 1
    assert await one.next_note() == {"order": "x"}


async def test_what_was_on_its_way_is_counted_as_unproved(pair: tuple[Side, Side]) -> None:
    """Publications after the last probe may have arrived or not: they are counted, and others are told."""
    one, two = pair
    await one.settled()
    one.broker.publish(Publication("news", "x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.broker._keeper.link.abort()
    await until(lambda: two.gaps == 1)
    lost, unproved = one.status.publications_lost, one.status.publications_unproved
    assert lost + unproved == 1


async def test_a_full_buffer_loses_publications_aloud(
    make: MakeSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room reaches this node's members, is counted, and other nodes are told of a gap."""
    one, two = await make("one", send_buffer_bytes=65_536), await make("two")
    for node in (one, two):
        node.join("news")
        await node.settled()
    for number in range(100):  # in one turn of the loop: nothing leaves meanwhile
        assert one.broker.publish(Publication("news", f"{number:01000}")) == 1
    assert [int((await one.next()).message) for _ in range(100)] == list(range(100))
    lost = one.status.publications_lost
    assert 30 <= lost <= 40
    assert [int((await two.next()).message) for _ in range(100 - lost)] == list(range(100 - lost))
    await until(lambda: two.gaps == 1)
    one.broker.publish(Publication("news", "after"))
    assert (await two.next()).message == "after"
    assert (one.gaps, two.gaps) == (0, 1)
    assert len(one.events("broker_buffer_full")) == 1


async def test_stopping_lets_go_what_waits(pair: tuple[Side, Side]) -> None:
    """What was published just before a stop arrives."""
    one, two = pair
    two.join("news")
    await two.settled()
    for number in range(1000):
        one.broker.publish(Publication("news", f"{number:01000}"))
    await one.broker.stop()
    assert not one.status.connected
    assert [int((await two.next()).message) for _ in range(1000)] == list(range(1000))
