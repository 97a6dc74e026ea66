"""An engine with history, and the line from it to one node: both do what a test says. What members got."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from typing import NamedTuple

from gateway.broker.contract import (
    BrokerStatus,
    BrokerUnavailableError,
    History,
    HistoryPolicy,
    Position,
    Publication,
)
from gateway.core.trackers import Trackers
from gateway.observe.logs import make_logger
from gateway.observe.metrics import Metrics

__all__ = ["GROUP", "HistoryLine", "Member"]

GROUP = "room"
_TURNS = 8  # of the loop, until a question has come, or an answer has been taken
_MOST_QUESTIONS = 300  # that are left in the end: a node that goes on asking never comes to rest
_EMPTY = Position(0, "")


class _Question(NamedTuple):
    since: int | None
    limit: int
    answer: asyncio.Future[History]
    at_once: History
    """What the engine would have answered when it was asked."""


class Member:
    """A member of the group on the node, and what it got: publications, and `None` for a word of a gap.

    Args:
        base: Up to where it has everything; `None` while that is not known.
        missed: What it got first, since it resumed.
    """

    def __init__(self, base: Position | None, missed: list[Publication]) -> None:
        self.base = base
        self.log: list[Publication | None] = list(missed)

    def check(self, published: dict[str, list[int]], newest: Position) -> None:
        """Hold that it got each publication at most once and in order, and was told before one is missing.

        Args:
            published: All offsets of each epoch.
            newest: Where the group is now: everything has come by now that comes at all.
        """
        at = self.base
        had: dict[str, int] = {} if at is None else {at.epoch: at.offset}
        told = False
        for one in self.log:
            if one is None:
                told = True
                continue
            assert one.offset > had.get(one.epoch, 0), "a publication came twice, or late"
            if at is not None:
                self._check_step(at, Position(one.offset, one.epoch), published, told=told)
            at, told = Position(one.offset, one.epoch), False
            had[one.epoch] = one.offset
        if at is not None:
            self._check_step(at, Position(newest.offset + 1, newest.epoch), published, told=told)

    @staticmethod
    def _check_step(
        at: Position, following: Position, published: dict[str, list[int]], *, told: bool
    ) -> None:
        if told:
            return
        end = following.offset if following.epoch == at.epoch else None
        missing = [
            one for one in published.get(at.epoch, ()) if one > at.offset and (end is None or one < end)
        ]
        if following.epoch != at.epoch:
            missing += [one for one in published.get(following.epoch, ()) if one < following.offset]
        assert not missing, f"silently missing: {missing} after {at}"


class HistoryLine:
    """The engine, the line and the node.

    Args:
        size: How many publications the engine keeps.
        step: By how much offsets grow.
        forgetful: Whether the engine does not know what came before the oldest that it keeps, as JetStream.
    """

    def __init__(self, size: int, step: int, *, forgetful: bool) -> None:
        self.status = BrokerStatus()
        self._policy = HistoryPolicy("*", size, 60)
        self._step = step
        self._forgetful = forgetful
        self._epochs = 0
        self.published: dict[str, list[int]] = {}
        self._kept: list[Publication] = []
        self._pushed_out = 0
        self.newest = _EMPTY
        self.begin_epoch()
        self._subscribed = False
        self._on_the_way: deque[Publication] = deque()
        self._lost: list[Publication] = []
        self.questions: deque[_Question] = deque()
        self.members: list[Member] = []
        self._arriving: list[asyncio.Task[None]] = []
        log = make_logger("error", "json", io.StringIO())
        self.trackers = Trackers(
            self,  # type: ignore[arg-type]
            lambda _: self._policy,
            self._broadcast,
            self._told,
            Metrics(),
            log,
        )

    # The engine, as the trackers see it.

    def subscribe(self, _group: str) -> None:
        """Send what is published from now on."""
        self._subscribed = True

    def unsubscribe(self, _group: str) -> None:
        """Send no more."""
        self._subscribed = False

    async def history(self, _group: str, since: int | None, limit: int) -> History:
        """Answer when the test says so."""
        answer = asyncio.get_running_loop().create_future()
        self.questions.append(_Question(since, limit, answer, self._read(since, limit)))
        return await answer

    def _read(self, since: int | None, limit: int) -> History:
        if limit == 0:
            return History((), self.newest, self.newest.offset, whole=False)
        found = [one for one in self._kept if since is None or one.offset > since][:limit]
        floor = self.newest.offset
        if found:
            floor = found[0].previous
            if self._forgetful and found[0] is self._kept[0]:
                floor = found[0].offset - 1
                found[0] = found[0]._replace(previous=0)
        elif since is not None and since >= self.newest.offset:
            floor = since
        return History(tuple(found), self.newest, min(floor, self.newest.offset), whole=False)

    # What a test does.

    def publish(self, count: int) -> None:
        """Publish some; they are on their way then."""
        for _ in range(count):
            offset = self.newest.offset + self._step
            epoch = self.newest.epoch
            made = Publication(GROUP, str(offset), None, None, offset, self.newest.offset, epoch)
            self.newest = Position(offset, epoch)
            self.published[epoch].append(offset)
            self._kept = [*self._kept, made][-self._policy.size :]
            if self._subscribed:
                self._on_the_way.append(made)

    def begin_epoch(self) -> None:
        """Begin the history anew, as a server without a disk that is started again."""
        self._epochs += 1
        epoch = f"e{self._epochs}"
        self.published[epoch] = []
        self._kept = []
        self.newest = Position(0, epoch)

    def arrive(self, count: int) -> None:
        """Have some of what is on its way arrive."""
        for _ in range(min(count, len(self._on_the_way))):
            self.trackers.deliver(self._on_the_way.popleft())

    def lose(self, count: int) -> None:
        """Lose some of what is on its way."""
        for _ in range(min(count, len(self._on_the_way))):
            self._lost.append(self._on_the_way.popleft())

    def arrive_late(self) -> None:
        """Have what was lost arrive after all: a network has held it back."""
        if self._lost:
            self.trackers.deliver(self._lost.pop())

    def arrive_again(self, back: int) -> None:
        """Have one arrive that members have, perhaps."""
        if len(self._kept) >= back and self._subscribed:
            again = self._kept[-back]
            if again not in self._on_the_way:
                self.trackers.deliver(again)

    def tell_gap(self) -> None:
        """Tell that some may be missing."""
        self.trackers.gap()

    def answer(self, *, old: bool = False, fail: bool = False) -> None:
        """Answer the oldest question: with what there is now, or was when it was asked."""
        if not self.questions:
            return
        question = self.questions.popleft()
        if question.answer.done():
            return
        if fail:
            question.answer.set_exception(BrokerUnavailableError("no answer"))
        else:
            found = question.at_once if old else self._read(question.since, question.limit)
            question.answer.set_result(found)

    def join(self) -> None:
        """Have a client join, that does not resume."""
        tracker = self.trackers.get(GROUP)
        base = None if tracker is None else tracker.position
        self._add(Member(base, []))

    def _add(self, member: Member) -> None:
        if not self.members:
            self.trackers.subscribe(GROUP)
        self.members.append(member)

    def leave(self) -> None:
        """Have the member go that has been there for longest."""
        if self.members:
            self.members.pop(0)
            if not self.members:
                self.trackers.unsubscribe(GROUP)

    def resume(self, back: int) -> None:
        """Have a client come back that has all of the history but some of its newest."""
        offsets = self.published[self.newest.epoch]
        since = Position(offsets[-1 - back] if len(offsets) > back else 0, self.newest.epoch)
        task = asyncio.get_running_loop().create_task(self._arrive(since))
        self._arriving.append(task)

    async def _arrive(self, since: Position) -> None:
        with self.trackers.held([GROUP]) as (tracker,):
            try:
                await self.trackers.prepare([tracker], {GROUP: since})
            except BrokerUnavailableError:
                missed = None
            else:
                missed = tracker.missed(since)
            self._add(Member(tracker.position, []) if missed is None else Member(since, missed))

    async def settle(self) -> None:
        """Let everything happen that waits for nothing."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        tracker = self.trackers.get(GROUP)
        for member in self.members:
            if member.base is None and not member.log and tracker is not None:
                member.base = tracker.position

    async def end(self) -> None:
        """Have everything come that is to come, and hold the law of each member."""
        await self.settle()
        for _ in range(2):
            self.arrive(len(self._on_the_way))
            await self.settle()
            for _ in range(_MOST_QUESTIONS):
                if not self.questions:
                    break
                self.answer()
                await self.settle()
            assert not self.questions, "the node asks for ever"
            # What was lost last shows by nothing else.
            self.tell_gap()
            await self.settle()
        self.trackers.close()
        await asyncio.gather(*self._arriving)
        for member in self.members:
            member.check(self.published, self.newest)

    # What the node does.

    def _broadcast(self, publication: Publication) -> int:
        for member in self.members:
            member.log.append(publication)
        return len(self.members)

    def _told(self, _group: str) -> None:
        for member in self.members:
            member.log.append(None)
