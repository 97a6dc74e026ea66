"""The groups with history that a node follows: what comes late, twice or not at all is seen, and mended."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.broker.contract import BrokerUnavailableError, Position
from gateway.core.tracker import Tracker, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from gateway.broker.contract import (
        Broker,
        Deliver,
        History,
        HistoryOf,
        HistoryPolicy,
        Publication,
    )
    from gateway.core.resume import Positions
    from gateway.observe.logs import Logger
    from gateway.observe.metrics import Metrics

__all__ = ["Trackers"]

_AT_ONCE: Final = 32  # questions to the engine
_MOST_HELD: Final = 10_000  # publications of a group that wait for a hole to be mended
_TRIES: Final = 3


class Trackers:
    """The trackers of this node's groups with history, and what they need of the engine.

    It stands between the broker and the hub: it is told of the groups that have members, and hands on what
    they are to get.

    Args:
        broker: The broker.
        history_of: Gives what a group keeps.
        broadcast: Hands a publication to the group's members on this node.
        told: Called with a group whose members may have missed something for good.
        metrics: Where holes are counted.
        log: Where log lines go.
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

    def __getitem__(self, group: str) -> Tracker:
        return self._trackers[group]

    def get(self, group: str) -> Tracker | None:
        """Give the tracker of a group; `None` if it has no members here, or keeps no history."""
        return self._trackers.get(group)

    def policy(self, group: str) -> HistoryPolicy | None:
        """Give how much history a group keeps; `None` for none."""
        return self._history_of(group)

    async def newest(self, group: str) -> Position:
        """Ask the engine where a group is.

        Raises:
            BrokerUnavailableError: If it cannot be asked.
            ValueError: If the group keeps no history.
        """
        async with self._questions:
            return (await self._broker.history(group, None, 0)).newest

    # What the hub tells.

    def subscribe(self, group: str) -> None:
        """Begin to receive a group: its first member on this node has joined."""
        self._broker.subscribe(group)
        policy = self._history_of(group)
        if policy is None:
            return
        tracker = self._trackers.get(group)
        if tracker is None:
            tracker = self._trackers[group] = Tracker(group, policy)
            tracker.learning += 1
            self._start(self._learn(tracker))
        tracker.wanted = True

    def unsubscribe(self, group: str) -> None:
        """Cease to receive a group: its last member on this node has left."""
        tracker = self._trackers.get(group)
        if tracker is not None:
            tracker.wanted = False
            if tracker.holds:
                return
            del self._trackers[group]
        self._broker.unsubscribe(group)

    @contextmanager
    def held(self, groups: Sequence[str]) -> Iterator[list[Tracker]]:
        """Follow those of some groups that keep history, though they may have no members yet.

        Gives:
            Their trackers.
        """
        trackers = []
        for group in groups:
            policy = self._history_of(group)
            if policy is None:
                continue
            tracker = self._trackers.get(group)
            if tracker is None:
                self._broker.subscribe(group)
                tracker = self._trackers[group] = Tracker(group, policy)
            tracker.holds += 1
            trackers.append(tracker)
        try:
            yield trackers
        finally:
            for tracker in trackers:
                tracker.holds -= 1
                if not tracker.holds and not tracker.wanted:
                    del self._trackers[tracker.group]
                    self._broker.unsubscribe(tracker.group)

    # What the broker brings.

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
        if verdict is Verdict.REPEATED:
            self._metrics.publications_repeated += 1
            return 0
        if verdict is Verdict.HOLE:
            self._metrics.publication_holes += 1
            tracker.held.append(publication)
            self._heal(tracker, math.inf)
            return 0
        return self._hand_over(tracker, publication)

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
            if not tracker.healing:
                self._heal(tracker, asyncio.get_running_loop().time() - blind_since)

    def _heal(self, tracker: Tracker, blind_seconds: float) -> None:
        """Hold what comes until the engine has said what belongs before it.

        Args:
            tracker: The group's tracker.
            blind_seconds: How long ago the tracker's position was the newest for certain.
        """
        tracker.healing = True
        self._start(self._fill(tracker, blind_seconds))

    async def _fill(self, tracker: Tracker, blind_seconds: float) -> None:
        try:
            for _ in range(_TRIES):
                tracker.overrun = False
                position = tracker.position
                history = await self._ask(tracker, None if position is None else position.offset)
                if self._patch(tracker, position, history, blind_seconds) and not tracker.overrun:
                    break
            else:
                self._tell(tracker, "comes too fast")
        except BrokerUnavailableError:
            self._tell(tracker, "no answer")
            self._skip_to_held(tracker)
        self._release(tracker)

    def _patch(
        self, tracker: Tracker, position: Position | None, history: History, blind_seconds: float
    ) -> bool:
        """Hand over what the engine has given, after a word to the members if that lacks something.

        Returns:
            Whether that was all there is; otherwise the engine has to be asked once more.
        """
        newest = history.newest
        if position is None:
            self._tell(tracker, "unknown position")
            tracker.adopt(newest)
            return True
        if newest.epoch != position.epoch:
            self._begin_epoch(tracker, newest.epoch)
            return False
        if newest.offset < position.offset:
            self._tell(tracker, "the history has lost its end")
            tracker.adopt(newest)
            return True
        if position.offset < history.floor and not (history.whole and blind_seconds < tracker.policy.seconds):
            self._tell(tracker, "not kept any more")
        for publication in history.publications:
            if publication.offset > position.offset:
                self._hand_over(tracker, publication)
        return True

    def _begin_epoch(self, tracker: Tracker, epoch: str) -> None:
        """Go to the beginning of a history that has begun anew: what members have is none of it."""
        self._tell(tracker, "new epoch")
        tracker.adopt(Position(0, epoch))

    def _skip_to_held(self, tracker: Tracker) -> None:
        """Pass over the hole before what is held; members have been told."""
        if tracker.held:
            first = tracker.held[0]
            tracker.adopt(Position(min(first.previous, first.offset - 1), first.epoch))

    def _release(self, tracker: Tracker) -> None:
        """Go on with what was held."""
        tracker.healing = False
        held, tracker.held = tracker.held, []
        for publication in held:
            if tracker.healing:
                self._hold(tracker, publication)
            else:
                self._take(tracker, publication)

    def _tell(self, tracker: Tracker, why: str) -> None:
        self._metrics.publication_gaps += 1
        self._log.warning("publications_missed", policy=tracker.policy.pattern, why=why)
        self._told(tracker.group)

    # Asking.

    async def _learn(self, tracker: Tracker) -> None:
        """Find out where a group is, so that what is missed from now on shows."""
        try:
            history = await self._ask(tracker, None, 0)
        except BrokerUnavailableError:
            return  # a gap follows when there is a connection
        finally:
            tracker.learning -= 1
        self._learned(tracker, history)

    def _learned(self, tracker: Tracker, history: History) -> None:
        position, newest = tracker.position, history.newest
        if position is None:
            tracker.position = newest
        elif not tracker.healing and position.epoch == newest.epoch and position.offset < newest.offset:
            # The first that came was not the first after the subscription.
            self._heal(tracker, math.inf)

    async def prepare(self, trackers: Sequence[Tracker], positions: Positions | None) -> None:
        """Learn where groups are; with `positions`, have at hand what someone at these has missed.

        Raises:
            BrokerUnavailableError: If the engine cannot be asked.
        """
        for tracker in trackers:
            since = None if positions is None else positions.get(tracker.group)
            if since is None:
                if tracker.position is None:
                    tracker.learning += 1
                    try:
                        history = await self._ask(tracker, None, 0)
                    finally:
                        tracker.learning -= 1
                    self._learned(tracker, history)
            elif tracker.position is None or (
                tracker.missed(since) is None and since.epoch == tracker.position.epoch
            ):
                await self._reflect(tracker, since)

    async def _reflect(self, tracker: Tracker, since: Position) -> None:
        """Get everything that a group keeps: once for all who come back at the same time."""
        async with tracker.reading:
            position = tracker.position
            # A client may have more than this node has been handed yet, from another one.
            behind = position is not None and position.epoch == since.epoch and position.offset < since.offset
            if tracker.mirrored and not behind:
                return
            tracker.begin_mirror()
            tracker.learning += 1
            try:
                history = await self._ask(tracker, None)
            finally:
                tracker.learning -= 1
            self._learned_all(tracker, history)

    def _learned_all(self, tracker: Tracker, history: History) -> None:
        position = tracker.position
        if position is None:
            tracker.position = history.newest
        elif position.epoch == history.newest.epoch and not tracker.healing:
            # What this node is still to be handed comes now; it is known when it comes again.
            for publication in history.publications:
                if publication.offset > position.offset:
                    self._take(tracker, publication)
        tracker.mirror(history)

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
