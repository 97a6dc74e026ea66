"""The contract of history: one suite that runs over each broker. Next door is what holds between nodes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from nodes import KINDS, LINKED, PATIENCE_SECONDS, Side, some_history

from gateway.broker.contract import BrokerUnavailableError, Kept, MessageTooBigError, Position, Publication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.broker.contract import History

    MakeSide = Callable[..., Awaitable[Side]]

GROUP_NAMES = ("", "$user:ann", "room:7 > of *.text", "{x}}\r\n\0", "世界" * 500, "\ud800", "n" * 10_000)


@pytest.fixture(params=KINDS)
async def node(request: pytest.FixtureRequest, side: MakeSide) -> Side:
    """A broker that is started and keeps history, and what comes back."""
    return await side(request.param, history_of=some_history, idempotency_seconds=1)


async def join(node: Side, *groups: str) -> None:
    """Have a first member in groups, and wait until what is published to them arrives."""
    node.join(*groups)
    for group in groups:
        await node.broker.history(group, None, 0)


async def fill(node: Side, group: str, number: int) -> list[Publication]:
    """Publish so many numbers to a group, and give them as they come back."""
    await join(node, group)
    for one in range(number):
        node.broker.publish(Publication(group, str(one)))
    return await node.next_ones(number)


def check_floor(history: History, all_ever: Sequence[Publication]) -> None:
    """See that nothing lies between the floor and what was given, nor before the floor without need."""
    if history.publications:
        offsets = [one.offset for one in all_ever if one.offset < history.publications[0].offset]
        assert (offsets or [history.floor])[-1] == history.floor < history.publications[0].offset
    else:
        assert all_ever[-1].offset <= history.floor <= history.newest.offset


async def test_offsets_grow(node: Side) -> None:
    """Each publication has an offset above the one before it in the group, and names that one."""
    await join(node, "a", "b")
    for number in range(60):
        node.broker.publish(Publication("ab"[number % 2], str(number)))
    arrived = await node.next_ones(60)
    for group in "ab":
        kept = [one for one in arrived if one.group == group]
        assert [int(one.message) for one in kept] == list(range("ab".index(group), 60, 2))
        offsets = [one.offset for one in kept]
        assert offsets == sorted(set(offsets))
        assert [one.previous for one in kept] == [0, *offsets[:-1]]
        assert len({one.epoch for one in kept}) == 1
        assert kept[0].epoch
    await node.settled()
    assert node.nothing_more


async def test_a_publication_is_kept_as_it_was_made(node: Side) -> None:
    """Text or bytes, key, and who is left out are the same at once and later, whatever the size."""
    publications = [
        Publication("news", "grüße, 世界"),
        Publication("news", ""),
        Publication("news", b"\x00\xff\r\n+x 1\n"),
        Publication("news", b"", key="state"),
        Publication("news", "for others", exclude="connection-7", key="k"),
        Publication("news", "x" * 60_000),
        Publication("news", b"\xfe" * 60_000),
    ]
    await join(node, "news")
    for publication in publications:
        node.broker.publish(publication)
    arrived = await node.next_ones(len(publications))
    assert [one._replace(offset=0, previous=0, epoch="") for one in arrived] == publications
    assert [type(one.message) for one in arrived] == [type(one.message) for one in publications]
    history = await node.broker.history("news", None, 100)
    assert list(history.publications) == arrived


@pytest.mark.parametrize("group", GROUP_NAMES, ids=range(len(GROUP_NAMES)))
async def test_any_text_names_a_group(node: Side, group: str) -> None:
    """What it keeps is its own."""
    await fill(node, group + "x", 2)
    await join(node, group)
    kept = await node.broker.store(Publication(group, "x"), idempotency_key=group)
    arrived = await node.next()
    assert (arrived.group, arrived.message, arrived.previous) == (group, "x", 0)
    assert kept == Kept(Position(arrived.offset, arrived.epoch))
    assert (await node.broker.history(group, None, 10)).publications == (arrived,)


async def test_a_group_without_history(node: Side) -> None:
    """Its publications have no offset, and come at once; to keep one, or to ask for them, is a mistake."""
    await join(node, "news")
    node.join("plain")
    assert node.broker.publish(Publication("plain", "x")) == 1
    assert await node.next() == Publication("plain", "x")
    with pytest.raises(ValueError, match="keeps no history"):
        await node.broker.store(Publication("plain", "x"))
    with pytest.raises(ValueError, match="keeps no history"):
        await node.broker.history("plain", None, 1)
    await node.broker.store(Publication("news", "x"))
    assert (await node.next()).group == "news"


async def test_store_gives_the_position(node: Side) -> None:
    """It is the one that the publication comes with, in the order of the calls, `publish` among them."""
    await join(node, "news")
    node.broker.publish(Publication("news", "0"))
    stored = [await node.broker.store(Publication("news", str(number))) for number in range(1, 4)]
    node.broker.publish(Publication("news", "4"))
    arrived = await node.next_ones(5)
    assert [one.message for one in arrived] == ["0", "1", "2", "3", "4"]
    assert stored == [Kept(Position(one.offset, one.epoch)) for one in arrived[1:4]]
    await node.settled()
    assert node.nothing_more


async def test_stored_at_once(node: Side) -> None:
    """Many calls wait side by side, and each gets the position of its own publication."""
    await join(node, "news")
    stored = await asyncio.gather(
        *(node.broker.store(Publication("news", str(number))) for number in range(50))
    )
    arrived = await node.next_ones(50)
    positions = {one.message: Kept(Position(one.offset, one.epoch)) for one in arrived}
    assert stored == [positions[str(number)] for number in range(50)]


class TestReading:
    """What `since` and `limit` mean."""

    async def test_an_empty_group(self, node: Side) -> None:
        """It has a position, before all that comes later; asking changes nothing."""
        await join(node, "news")
        before = await node.broker.history("news", None, 10)
        assert before.publications == ()
        assert before.floor <= before.newest.offset
        assert before.newest.epoch
        assert before.whole
        assert (await node.broker.history("news", before.newest.offset, 0)).newest == before.newest
        first = (await node.broker.store(Publication("news", "x"))).position
        assert first.epoch == before.newest.epoch
        assert first.offset > before.newest.offset
        after = await node.broker.history("news", before.newest.offset, 10)
        assert [one.message for one in after.publications] == ["x"]
        assert after.floor <= before.newest.offset
        assert after.newest == first

    async def test_the_last_ones(self, node: Side) -> None:
        """Without `since` it is the last, in order; none to learn the position alone."""
        other = await fill(node, "other", 3)
        kept = await fill(node, "news", 10)
        await fill(node, "other", 2)
        for limit in (1, 3, 10, 100, 0):
            history = await node.broker.history("news", None, limit)
            assert list(history.publications) == kept[10 - min(limit, 10) :]
            assert history.newest == Position(kept[-1].offset, kept[-1].epoch)
            assert history.whole
            check_floor(history, kept)
        assert list((await node.broker.history("other", None, 100)).publications[:3]) == other

    async def test_behind_an_offset(self, node: Side) -> None:
        """It begins with the next one, and goes on as far as the limit."""
        kept = await fill(node, "news", 10)
        await fill(node, "other", 1)
        for since, limit in ((-1, 100), (0, 100), (0, 4), (1, 100), (1, 0), (4, 2), (9, 3), (10, 5)):
            offset = since if since < 1 else kept[since - 1].offset
            history = await node.broker.history("news", offset, limit)
            assert list(history.publications) == kept[max(since, 0) :][:limit]
            assert history.newest == Position(kept[-1].offset, kept[-1].epoch)
            check_floor(history, kept)

    @pytest.mark.parametrize("beyond", [1, 2**53, 2**63 - 1, 2**64 - 1, 2**64, 10**30])
    async def test_behind_all(self, node: Side, beyond: int) -> None:
        """An offset that was never given is answered as well."""
        kept = await fill(node, "news", 2)
        history = await node.broker.history("news", kept[-1].offset + beyond, 10)
        assert history.publications == ()
        check_floor(history, kept)
        assert history.newest == Position(kept[-1].offset, kept[-1].epoch)

    async def test_it_has_what_was_handed_over(self, node: Side) -> None:
        """Whatever has come is in the answer to what is asked afterwards."""
        await join(node, "news")
        for number in range(50):
            node.broker.publish(Publication("news", str(number)))
            arrived = await node.next()
            history = await node.broker.history("news", None, 1)
            assert history.publications == (arrived,)


class TestBounds:
    """Size and seconds bound what is kept, and what is not shows."""

    async def test_size(self, node: Side) -> None:
        """The oldest give way; who had them learns from the floor what it misses."""
        kept = await fill(node, "short", 3)
        await fill(node, "short:other", 2)
        kept += await fill(node, "short", 1)
        history = await node.broker.history("short", None, 100)
        assert list(history.publications) == kept
        assert history.whole
        kept += await fill(node, "short", 4)
        await fill(node, "short:other", 2)
        for since in (None, 0, kept[1].offset, kept[2].offset):
            history = await node.broker.history("short", since, 100)
            first, *others = history.publications
            assert others == kept[4:]
            # That of one that is kept no more may be known, or not.
            assert first in {kept[3], kept[3]._replace(previous=0)}
            assert kept[2].offset <= history.floor < first.offset
            assert not history.whole
        history = await node.broker.history("short", kept[5].offset, 100)
        assert (list(history.publications), history.floor) == (kept[6:], kept[5].offset)

    async def test_seconds(self, node: Side) -> None:
        """What is too old is not given, though the group is known still."""
        kept = await fill(node, "brief", 3)
        history = await emptied(node, "brief")
        assert history.newest.epoch == kept[0].epoch
        assert history.newest.offset >= kept[-1].offset
        assert history.whole
        check_floor(history, kept)
        (later,) = await fill(node, "brief", 1)
        assert later.offset > history.newest.offset
        assert later.previous in {0, kept[-1].offset}
        assert later.epoch == kept[0].epoch
        after = await node.broker.history("brief", kept[0].offset, 100)
        assert set(after.publications) <= {later}
        assert after.floor >= kept[-1].offset

    async def test_seconds_of_one_that_stays(self, node: Side) -> None:
        """Each publication has its own time, also in a group that is never silent."""
        await join(node, "brief")
        stored = [(await node.broker.store(Publication("brief", "0"))).position]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (history := await node.broker.history("brief", None, 100)).floor < stored[0].offset:
                stored.append((await node.broker.store(Publication("brief", "x"))).position)
                await asyncio.sleep(0.02)
        assert len(stored) < 100
        assert history.newest == stored[-1]
        assert history.whole


async def emptied(node: Side, group: str) -> History:
    """Wait until a group keeps nothing any more."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (history := await node.broker.history(group, None, 100)).publications:
            await asyncio.sleep(0.01)
    return history


class TestIdempotency:
    """A key names a publication."""

    async def test_a_repetition(self, node: Side) -> None:
        """It is published once, and each try gives the position of the first."""
        await join(node, "news")
        for key in ("k1", "k2", "", "any > * text\r\n{}", "世界" * 500, "\ud800"):
            first = await node.broker.store(Publication("news", f"first {key!r}"), idempotency_key=key)
            assert not first.repeated
            for _ in range(2):
                again = await node.broker.store(Publication("news", "again"), idempotency_key=key)
                assert again == Kept(first.position, repeated=True)
            arrived = await node.next()
            assert arrived.message == f"first {key!r}"
            assert first.position == Position(arrived.offset, arrived.epoch)
        assert len((await node.broker.history("news", None, 100)).publications) == 6
        await node.settled()
        assert node.nothing_more

    async def test_it_belongs_to_its_group(self, node: Side) -> None:
        """Another group with the same key is another publication."""
        await join(node, "a", "b")
        for group in ("a", "b"):
            assert not (await node.broker.store(Publication(group, group), idempotency_key="k")).repeated
        assert [one.message for one in await node.next_ones(2)] == ["a", "b"]

    async def test_tried_at_once(self, node: Side) -> None:
        """Of tries side by side one is the first, and the others say so."""
        await join(node, "news")
        publication = Publication("news", "x")
        tries = await asyncio.gather(
            *(node.broker.store(publication, idempotency_key="k") for _ in range(10))
        )
        arrived = await node.next()
        assert {one.position for one in tries} == {Position(arrived.offset, arrived.epoch)}
        assert [one.repeated for one in tries].count(False) == 1
        await node.settled()
        assert node.nothing_more

    async def test_it_ends(self, node: Side) -> None:
        """After `idempotency_seconds` the key is free, however often it was tried in between."""
        await join(node, "news")
        first = await node.broker.store(Publication("news", "x"), idempotency_key="k")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (again := await self.store_x(node)).repeated:
                assert again.position == first.position
                await asyncio.sleep(0.02)
        offsets = [first.position.offset, again.position.offset]
        assert offsets == sorted(set(offsets))
        assert [one.offset for one in await node.next_ones(2)] == offsets

    @staticmethod
    async def store_x(node: Side) -> Kept:
        """Try once more."""
        return await node.broker.store(Publication("news", "x"), idempotency_key="k")


async def test_a_stopped_broker_keeps_nothing(node: Side) -> None:
    """It says so where somebody waits for an answer, and is silent otherwise."""
    await join(node, "news")
    await node.broker.store(Publication("news", "x"))
    await node.next()
    await node.broker.stop()
    assert node.broker.publish(Publication("news", "late")) == 0
    with pytest.raises(BrokerUnavailableError):
        await node.broker.store(Publication("news", "late"))
    with pytest.raises(BrokerUnavailableError):
        await node.broker.history("news", None, 1)
    assert node.nothing_more


async def test_memory_hands_over_at_once(side: MakeSide) -> None:
    """Within one process the receivers are counted, as without history."""
    node = await side("memory", history_of=some_history)
    await join(node, "news")
    assert node.broker.publish(Publication("news", "x")) == 1
    assert node.broker.publish(Publication("nobody", "x")) == 0
    assert len((await node.broker.history("nobody", None, 10)).publications) == 1


@pytest.mark.parametrize("kind", LINKED)
async def test_a_link_hands_over_what_comes_back(side: MakeSide, kind: str) -> None:
    """Nobody has it yet when `publish` returns, and it is no echo when it comes."""
    node = await side(kind, history_of=some_history)
    await join(node, "news")
    assert node.broker.publish(Publication("news", "x")) == 0
    assert node.nothing_more
    assert (await node.next()).message == "x"
    await node.settled()
    assert node.status.dropped["own"] == 0


@pytest.mark.parametrize("kind", LINKED)
async def test_too_big(side: MakeSide, kind: str) -> None:
    """What cannot travel fails where it is published, and what is a little smaller is kept."""
    node = await side(kind, history_of=some_history, max_message_bytes=10_000)
    await join(node, "news")
    for size in (10_000, 9_990):
        with pytest.raises(MessageTooBigError, match="limit 10000"):
            node.broker.publish(Publication("news", "x" * size))
        with pytest.raises(MessageTooBigError, match="limit 10000"):
            await node.broker.store(Publication("news", "x" * size), idempotency_key="k")
    assert not (await node.broker.store(Publication("news", "x" * 9_000), idempotency_key="k")).repeated
    assert len((await node.next()).message) == 9_000
