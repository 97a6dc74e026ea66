"""The groups with history that a node follows: what comes late, twice or not at all is seen, and mended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.broker.contract import BrokerUnavailableError
from gateway.core.mending import Mending
from gateway.core.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.broker.contract import History, HistoryPolicy, Position
    from gateway.core.resume import Positions

__all__ = ["Trackers"]


class Trackers(Mending):
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

    # Learning.

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
        elif not tracker.healing and (position.epoch != newest.epoch or position.offset < newest.offset):
            # The first that came was not the first after the subscription.
            self._heal(tracker)

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
        elif tracker.healing:
            pass  # what is missing is being asked for
        elif position.epoch != history.newest.epoch:
            self._heal(tracker)
        elif history.floor <= position.offset:
            # What this node is still to be handed comes now; it is known when it comes again.
            for publication in history.publications:
                if publication.offset > position.offset:
                    self._hand_over(tracker, publication)
        # Otherwise some of what is on its way to this node is not kept any more. Nothing is taken out of its
        # turn then: members get all of it, and only who is ahead of this node is not recovered.
        tracker.mirror(history)
