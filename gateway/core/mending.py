"""What comes of groups with history, handed over once and in order; what lies in a hole is asked for."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from gateway.broker.contract import BrokerUnavailableError, Position
from gateway.core.tracker import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.broker.contract import Broker, Deliver, History, HistoryOf, Publication
    from gateway.core.tracker import Tracker
    from gateway.observe.logs import Logger
    from gateway.observe.metrics import Metrics

__all__ = ["Mending"]

_AT_ONCE: Final = 32  # questions to the engine
_MOST_HELD: Final = 10_000  # publications of a group that wait for a hole to be mended
_TRIES: Final = 3


class Mending:
    """The part of the trackers that takes what the broker brings; `gateway.core.trackers` has the rest.

    Its arguments are those of `Trackers`.
    """

    def __init__(
        self,
        broker: Broker,
        history_of: HistoryOf,
        broadcast: Deliver,
        told: Callable[[str], None],
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._broker = broker
        self._history_of = history_of
        self._broadcast = broadcast
        self._told = told
        self._metrics = metrics
        self._log = log
        self._trackers: dict[str, Tracker] = {}
        self._questions = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()

    def deliver(self, publication: Publication) -> int:
        """Hand a publication to this node's members, if it is the next; give how many got it."""
        if not publication.offset:
            return self._broadcast(publication)
        tracker = self._trackers.get(publication.group)
        if tracker is None:
            return 0
        if tracker.healing:
            self._hold(tracker, publication)
            return 0
        return self._take(tracker, publication)

    def _take(self, tracker: Tracker, publication: Publication) -> int:
        if tracker.position is None and not tracker.learning:
            # The engine could not be asked when the group's first member came.
            self._tell(tracker, "unknown position")
        verdict = tracker.judge(publication)
        if verdict is Verdict.NEW_EPOCH:
            self._begin_epoch(tracker, publication.epoch)
            verdict = tracker.judge(publication)
        if verdict is Verdict.DELIVER:
            return self._hand_over(tracker, publication)
        if verdict is Verdict.HOLE:
            self._metrics.publication_holes += 1
            tracker.held.append(publication)
            self._heal(tracker)
            return 0
        self._metrics.publications_repeated += 1
        if verdict is Verdict.FORMER_EPOCH:
            # Nothing is lost if that history goes on after all: the engine says so, and gives what it keeps.
            self._heal(tracker)
        return 0

    def _hand_over(self, tracker: Tracker, publication: Publication) -> int:
        tracker.advance(publication)
        if publication.lost:
            self._tell(tracker, "perhaps not kept")
            return 0
        return self._broadcast(publication)

    def _hold(self, tracker: Tracker, publication: Publication) -> None:
        if len(tracker.held) >= _MOST_HELD:
            tracker.held.clear()
            tracker.overrun = True
        tracker.held.append(publication)

    # Mending.

    def gap(self) -> None:
        """Ask the engine for what may have been missed of every group, and hand it over."""
        blind_since = self._broker.status.blind_since
        for tracker in self._trackers.values():
            if tracker.healing:
                # What the engine is about to answer may be older than what has been missed now.
                tracker.blind_since = min(tracker.blind_since, blind_since)
                tracker.overrun = True
            else:
                self._heal(tracker, blind_since)

    def _heal(self, tracker: Tracker, blind_since: float = -math.inf) -> None:
        """Hold what comes until the engine has said what belongs before it; once for all that comes.

        Args:
            tracker: The group's tracker.
            blind_since: Until when the tracker's position was the newest for certain, on the loop's clock.
        """
        tracker.healing = True
        tracker.blind_since = blind_since
        self._start(self._fill(tracker))

    async def _fill(self, tracker: Tracker) -> None:
        try:
            for _ in range(_TRIES):
                tracker.overrun = False
                position = tracker.position
                history = await self._ask(tracker, None if position is None else position.offset)
                if not self._follows(tracker):
                    return
                if self._patch(tracker, position, history) and not tracker.overrun:
                    break
            else:
                self._tell(tracker, "comes too fast")
        except BrokerUnavailableError:
            if not self._follows(tracker):
                return
            self._tell(tracker, "no answer")
            self._skip_to_held(tracker)
        self._release(tracker)

    def _follows(self, tracker: Tracker) -> bool:
        """Tell whether a tracker is its group's still: whoever is a member now may have another."""
        return self._trackers.get(tracker.group) is tracker

    def _patch(self, tracker: Tracker, position: Position | None, history: History) -> bool:
        """Hand over what the engine has given, after a word to the members if that lacks something.

        Args:
            tracker: The group's tracker.
            position: Its position when the engine was asked. While it is being mended nothing moves it, but
                one that was unknown may have been learnt.
            history: The answer.

        Returns:
            Whether that was all there is; otherwise the engine has to be asked once more.
        """
        newest = history.newest
        if position is None:
            self._tell(tracker, "unknown position")
            if tracker.position is not None:
                return False  # members have begun there: it must not be set back
            tracker.adopt(newest)
            return True
        if newest.epoch != position.epoch:
            self._begin_epoch(tracker, newest.epoch)
            return False
        if newest.offset < position.offset:
            self._tell(tracker, "the history has lost its end")
            tracker.adopt(newest)
            return True
        if position.offset < history.floor and not self._misses_nothing(tracker, history):
            self._tell(tracker, "not kept any more")
            # Nor does anyone who comes back get it: what was at hand from before is of no use behind it.
            tracker.adopt(Position(history.floor, position.epoch))
        publications = history.publications
        for publication in publications:
            if publication.offset > position.offset:
                self._hand_over(tracker, publication)
        return not publications or publications[-1].offset >= newest.offset

    def _misses_nothing(self, tracker: Tracker, history: History) -> bool:
        """Tell whether the time of a history reaches back to when the tracker's position was the newest."""
        blind_seconds = asyncio.get_running_loop().time() - tracker.blind_since
        return history.whole and blind_seconds < tracker.policy.seconds

    def _begin_epoch(self, tracker: Tracker, epoch: str) -> None:
        """Go to the beginning of a history that has begun anew: what members have is none of it."""
        self._tell(tracker, "new epoch")
        tracker.begin_epoch(epoch)

    def _skip_to_held(self, tracker: Tracker) -> None:
        """Pass over the hole before what is held, if there is one; members have been told."""
        for publication in tracker.held:
            verdict = tracker.judge(publication)
            if verdict is Verdict.HOLE or verdict is Verdict.NEW_EPOCH:
                before = min(publication.previous, publication.offset - 1)
                tracker.adopt(Position(before, publication.epoch))
            if verdict is not Verdict.REPEATED and verdict is not Verdict.FORMER_EPOCH:
                return

    def _release(self, tracker: Tracker) -> None:
        """Go on with what was held."""
        tracker.healing = False
        held, tracker.held = tracker.held, []
        for publication in held:
            if tracker.healing:
                self._hold(tracker, publication)
            elif tracker.judge(publication) is Verdict.FORMER_EPOCH:
                self._metrics.publications_repeated += 1  # the engine has just been asked
            else:
                self._take(tracker, publication)

    def _tell(self, tracker: Tracker, why: str) -> None:
        self._metrics.publication_gaps += 1
        self._log.warning("publications_missed", policy=tracker.policy.pattern, why=why)
        self._told(tracker.group)

    # Asking.

    async def _ask(self, tracker: Tracker, since: int | None, limit: int | None = None) -> History:
        async with self._questions:
            most = tracker.policy.size if limit is None else limit
            return await self._broker.history(tracker.group, since, most)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="history")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("history_failed", exc_info=error)
