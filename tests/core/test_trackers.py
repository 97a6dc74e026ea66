"""Tests of what a node does about publications that come twice, late, or not at all."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import BrokerUnavailableError, History, HistoryPolicy, Position, Publication
from gateway.broker.memory import MemoryBroker
from gateway.core.trackers import Trackers
from gateway.observe.logs import make_logger
from gateway.observe.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.broker.contract import Deliver

POLICY = HistoryPolicy("*", 10, 60)


class BadLine(MemoryBroker):
    """The real broker of one process, on a line that leaves out or repeats what a test says."""

    def __init__(self) -> None:
        super().__init__(lambda _: POLICY)
        self.pass_on: Callable[[Publication], int] = lambda _: 1
        self.answers = asyncio.Event()
        self.answers.set()
        self.broken = False
        self.questions = 0

    async def start(self, deliver: Deliver, *others: Any) -> None:
        """Start it with the bad line in between."""

        def maybe(publication: Publication) -> int:
            return sum(deliver(publication) for _ in range(self.pass_on(publication)))

        await super().start(maybe, *others)

    async def history(self, group: str, since: int | None, limit: int) -> History:
        """Answer when the test lets it."""
        self.questions += 1
        found = await super().history(group, since, limit)
        await self.answers.wait()
        if self.broken:
            raise BrokerUnavailableError("broken")
        return found


class Followed:
    """A group that is followed over a bad line, and what its members got and were told."""

    def __init__(self) -> None:
        self.broker = BadLine()
        self.seen: list[str] = []
        self.metrics = Metrics()
        log = make_logger("debug", "json", io.StringIO())
        self.trackers = Trackers(
            self.broker, lambda _: POLICY, self._broadcast, self._told, self.metrics, log
        )

    def _broadcast(self, publication: Publication) -> int:
        self.seen.append(str(publication.message))
        return 1

    def _told(self, group: str) -> None:
        assert group == "room"
        self.seen.append("gap")

    async def begin(self) -> None:
        """Have a first member, and learn the position."""
        await self.broker.start(self.trackers.deliver, lambda _: 0, self.trackers.gap)
        self.trackers.subscribe("room")
        await self.settle()

    def publish(self, *texts: str, lose: str = "", repeat: str = "") -> None:
        """Publish texts, of which some get lost or come twice."""
        for text in texts:
            self.broker.pass_on = lambda one: 0 if one.message in lose else 1 + (one.message in repeat)
            self.broker.publish(Publication("room", text))

    async def settle(self) -> None:
        """Let everything happen that is on its way."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    """A group with one member."""
    made = Followed()
    await made.begin()
    yield made
    made.trackers.close()
    await made.broker.stop()


async def test_all_is_well(followed: Followed) -> None:
    """What comes in order goes on at once."""
    followed.publish("a", "b", "c")
    assert followed.seen == ["a", "b", "c"]


async def test_twice(followed: Followed) -> None:
    """What comes again is thrown away and counted."""
    followed.publish("a", "b", "c", repeat="b")
    assert followed.seen == ["a", "b", "c"]
    assert followed.metrics.publications_repeated == 1


async def test_a_hole(followed: Followed) -> None:
    """What is missing is asked for, and comes before what showed it; nobody is told."""
    followed.publish("a", "b", "c", "d", lose="bc")
    assert followed.seen == ["a"]
    await followed.settle()
    assert followed.seen == ["a", "b", "c", "d"]
    assert (followed.metrics.publication_holes, followed.metrics.publication_gaps) == (1, 0)


async def test_while_the_engine_is_asked(followed: Followed) -> None:
    """What comes meanwhile waits, and comes once."""
    followed.broker.answers.clear()
    followed.publish("a", "b", "c", lose="b")
    await followed.settle()
    followed.publish("d", "e", repeat="d")
    followed.broker.answers.set()
    await followed.settle()
    assert followed.seen == ["a", "b", "c", "d", "e"]


async def test_a_hole_while_the_engine_is_asked(followed: Followed) -> None:
    """A second hole among what comes meanwhile is mended too."""
    followed.broker.answers.clear()
    followed.publish("a", "b", "c", lose="b")
    await followed.settle()
    followed.publish("d", "e", lose="d")
    followed.broker.answers.set()
    await followed.settle()
    assert followed.seen == ["a", "b", "c", "d", "e"]


async def test_what_came_last_is_missing(followed: Followed) -> None:
    """A loss that nothing after it shows is found when the broker tells a gap."""
    followed.publish("a", "b", lose="b")
    followed.trackers.gap()
    await followed.settle()
    assert followed.seen == ["a", "b"]


async def test_more_than_is_kept(followed: Followed) -> None:
    """What is not kept any more is told before what is left of it comes."""
    texts = [str(number) for number in range(20)]
    for text in texts[:-1]:
        followed.publish(text, lose="" if text == "0" else text)
    followed.publish(texts[-1])
    await followed.settle()
    assert followed.seen == ["0", "gap", *texts[10:]]
    assert followed.metrics.publication_gaps == 1


async def test_no_answer(followed: Followed) -> None:
    """If the engine cannot be asked members are told, and go on with what came."""
    followed.broker.broken = True
    followed.publish("a", "b", "c", "d", lose="b")
    await followed.settle()
    assert followed.seen == ["a", "gap", "c", "d"]


async def test_a_new_epoch(followed: Followed) -> None:
    """When a history begins anew members are told first, and get all of the new one."""
    followed.publish("a")
    others = [
        Publication("room", text, offset=number, previous=number - 1, epoch="new")
        for number, text in enumerate(("x", "y"), 1)
    ]
    for one in others:
        followed.trackers.deliver(one)
    assert followed.seen == ["a", "gap", "x", "y"]
    assert followed.trackers["room"].position == Position(2, "new")


async def test_a_history_that_was_set_back(followed: Followed) -> None:
    """An engine that has lost the end of a history, as one restored from a copy, does not silence it."""
    followed.publish("a", "b", "c")
    tracker = followed.trackers["room"]
    assert tracker.position is not None
    tracker.adopt(Position(1000, tracker.position.epoch))
    followed.trackers.gap()
    await followed.settle()
    followed.publish("d")
    assert followed.seen == ["a", "b", "c", "gap", "d"]


async def test_the_first_that_comes_is_not_the_first(followed: Followed) -> None:
    """What was published between the subscription and the answer about the position is not missed."""
    followed.trackers.unsubscribe("room")
    followed.broker.answers.clear()
    followed.trackers.subscribe("room")
    await followed.settle()
    followed.publish("a", "b", "c", lose="c")
    followed.broker.answers.set()
    await followed.settle()
    followed.publish("d")
    await followed.settle()
    assert followed.seen == ["a", "b", "c", "d"]


async def test_one_question_for_all(followed: Followed) -> None:
    """However many come back together, the engine is asked once; then the answer is kept up to date."""
    followed.publish("a", "b")
    position = followed.trackers["room"].position
    assert position is not None
    before = followed.broker.questions
    since = Position(position.offset - 1, position.epoch)
    with followed.trackers.held(["room"]) as trackers:
        await asyncio.gather(*(followed.trackers.prepare(trackers, {"room": since}) for _ in range(100)))
        followed.publish("c")
        await followed.trackers.prepare(trackers, {"room": since})
        missed = trackers[0].missed(since)
    assert missed is not None
    assert [one.message for one in missed] == ["b", "c"]
    assert followed.broker.questions == before + 1


async def test_held_before_there_is_a_member(followed: Followed) -> None:
    """A group is followed from the opening handshake on, and let go if nobody joins."""
    with followed.trackers.held(["other"]) as trackers:
        assert followed.trackers.get("other") is trackers[0]
        await followed.trackers.prepare(trackers, None)
        assert trackers[0].position is not None
    assert followed.trackers.get("other") is None
    with followed.trackers.held(["other"]):
        followed.trackers.subscribe("other")
    assert followed.trackers.get("other") is not None


async def test_an_engine_that_could_not_be_asked_at_first(followed: Followed) -> None:
    """Members who came then are told before they get the first publication: others may belong before it."""
    followed.trackers.unsubscribe("room")
    followed.broker.broken = True
    followed.trackers.subscribe("room")
    await followed.settle()
    followed.publish("a", "b")
    assert followed.seen == ["gap", "a", "b"]
    assert followed.metrics.publication_gaps == 1


async def test_some_that_may_be_lost(followed: Followed) -> None:
    """Where they belong members are told, and whoever comes back from before is not recovered."""
    followed.publish("a", "b")
    tracker = followed.trackers["room"]
    former = tracker.position
    assert former is not None
    followed.trackers.deliver(Publication("room", "", None, None, 3, 2, former.epoch, lost=True))
    followed.trackers.deliver(Publication("room", "c", None, None, 4, 3, former.epoch))
    assert followed.seen == ["a", "b", "gap", "c"]
    tracker.begin_mirror()
    kept = [Publication("room", "", None, None, 3, 2, former.epoch, lost=True)]
    kept.append(Publication("room", "c", None, None, 4, 3, former.epoch))
    tracker.mirror(History(tuple(kept), Position(4, former.epoch), 2, whole=False))
    assert tracker.missed(former) is None
    assert tracker.missed(Position(3, former.epoch)) == kept[1:]


async def test_whoever_has_more_than_this_node(followed: Followed) -> None:
    """A client that comes from a node that was faster is not behind: what lies between is asked for."""
    followed.publish("a", "b")
    tracker = followed.trackers["room"]
    since = tracker.position
    assert since is not None
    with followed.trackers.held(["room"]) as trackers:
        await followed.trackers.prepare(trackers, {"room": Position(since.offset - 1, since.epoch)})
        assert tracker.mirrored
        followed.publish("c", "d", lose="cd")
        ahead = Position(since.offset + 1, since.epoch)
        await followed.trackers.prepare(trackers, {"room": ahead})
        missed = tracker.missed(ahead)
    assert followed.seen == ["a", "b", "c", "d"]
    assert missed is not None
    assert [one.message for one in missed] == ["d"]


async def test_whoever_comes_back_first(followed: Followed) -> None:
    """A client that nobody was here before is recovered, though others publish while the engine is asked."""
    followed.publish("a", "b")
    since = followed.trackers["room"].position
    assert since is not None
    followed.trackers.unsubscribe("room")
    followed.broker.answers.clear()
    with followed.trackers.held(["room"]) as trackers:
        preparing = asyncio.ensure_future(
            followed.trackers.prepare(trackers, {"room": Position(since.offset - 1, since.epoch)})
        )
        await followed.settle()
        followed.publish("c")
        followed.broker.answers.set()
        await preparing
        missed = trackers[0].missed(Position(since.offset - 1, since.epoch))
    assert missed is not None
    assert [one.message for one in missed] == ["b", "c"]


async def test_whoever_comes_back_from_before_a_gap(followed: Followed) -> None:
    """After members were told of a gap a client from before it, or from within it, is not recovered."""
    followed.publish("a", "b")
    former = followed.trackers["room"].position
    assert former is not None
    with followed.trackers.held(["room"]) as (tracker,):
        await followed.trackers.prepare([tracker], {"room": former._replace(offset=former.offset - 1)})
        assert tracker.mirrored
        texts = [str(number) for number in range(20)]
        for text in texts:
            followed.publish(text, lose=text)
        followed.trackers.gap()
        await followed.settle()
        assert followed.seen == ["a", "b", "gap", *texts[10:]]
        for back in (20, 15, 11):
            since = former._replace(offset=former.offset + 20 - back)
            await followed.trackers.prepare([tracker], {"room": since})
            assert tracker.missed(since) is None
        since = former._replace(offset=former.offset + 10)
        await followed.trackers.prepare([tracker], {"room": since})
        missed = tracker.missed(since)
    assert missed is not None
    assert [one.message for one in missed] == texts[10:]


async def test_the_group_is_left_while_the_engine_is_asked(followed: Followed) -> None:
    """What the engine says after the last member has left is not for whoever joins then."""
    followed.broker.answers.clear()
    followed.publish("a", "b", "c", lose="b")
    await followed.settle()
    followed.trackers.unsubscribe("room")
    followed.trackers.subscribe("room")
    followed.seen.clear()
    followed.broker.answers.set()
    await followed.settle()
    followed.publish("d")
    assert followed.seen == ["d"]


async def test_a_gap_while_the_engine_is_asked(followed: Followed) -> None:
    """What is lost after the engine was asked, and shows by nothing else, is found by another question."""
    followed.broker.answers.clear()
    followed.trackers.gap()
    await followed.settle()
    followed.publish("a", lose="a")
    followed.trackers.gap()
    followed.broker.answers.set()
    await followed.settle()
    assert followed.seen == ["a"]


async def test_no_answer_after_a_repetition(followed: Followed) -> None:
    """If the engine cannot be asked, what came twice meanwhile is handed over once."""
    followed.publish("a", "b")
    followed.broker.broken = True
    followed.trackers.gap()
    again = Publication("room", "b", None, None, 2, 1, followed.trackers["room"].position.epoch)  # type: ignore[union-attr]
    followed.trackers.deliver(again)
    followed.publish("c")
    await followed.settle()
    assert followed.seen == ["a", "b", "gap", "c"]


async def test_late_ones_of_a_former_epoch(followed: Followed) -> None:
    """What is held back of a history that has ended does not lead back to it, and nothing comes twice."""
    position = followed.trackers["room"].position
    assert position is not None
    followed.trackers.deliver(Publication("room", "x", offset=3, previous=2, epoch="former"))
    followed.publish("a", "b")
    followed.trackers.deliver(Publication("room", "y", offset=4, previous=3, epoch="former"))
    followed.publish("c")
    await followed.settle()
    assert followed.seen[-3:] == ["a", "b", "c"]
    assert "y" not in followed.seen
    assert followed.trackers["room"].position == Position(3, position.epoch)


async def test_a_former_epoch_that_goes_on(followed: Followed) -> None:
    """If the engine says that a former history goes on, members get the rest of it, after a word, once."""
    followed.publish("a", "b")
    followed.trackers.deliver(Publication("room", "x", offset=1, previous=0, epoch="other"))
    followed.publish("c")
    await followed.settle()
    followed.publish("d")
    assert followed.seen == ["a", "b", "gap", "x", "gap", "c", "d"]


async def test_a_position_learnt_while_the_engine_is_asked(followed: Followed) -> None:
    """An older answer does not set back what a client has begun with."""
    followed.trackers.unsubscribe("room")
    followed.publish("a")
    with followed.trackers.held(["room"]) as (tracker,):
        older = await followed.broker.history("room", None, 10)
        answered = asyncio.Event()
        newer = followed.broker.history

        async def history(group: str, since: int | None, limit: int) -> History:
            if since is not None or answered.is_set():
                return await newer(group, since, limit)
            answered.set()
            while tracker.position is None:
                await asyncio.sleep(0)
            return older

        followed.broker.history = history  # type: ignore[method-assign]
        followed.trackers.gap()
        await answered.wait()
        followed.publish("b", lose="b")
        await followed.trackers.prepare([tracker], {"room": older.newest})
        position = tracker.position
        await followed.settle()
    assert position is not None
    assert position.offset > older.newest.offset
    assert tracker.position == position
    assert "b" not in followed.seen
