"""History in the memory of a process."""

from __future__ import annotations

import heapq
import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.broker.contract import BrokerUnavailableError, History, Kept, Position, Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.broker.contract import HistoryPolicy

__all__ = ["MemoryHistory"]

MOST_KEYS: Final = 100_000
"""Most idempotency keys that are known at a time; some 30 MB."""


class _Group:
    """What is kept of one group.

    Args:
        policy: How much that is.
        before: The offset before its first one: what it had up to there has been forgotten.
    """

    __slots__ = ("before", "kept", "last_dropped_at", "newest", "policy")

    def __init__(self, policy: HistoryPolicy, before: int) -> None:
        self.policy = policy
        self.before = before
        self.kept: deque[tuple[float, Publication]] = deque()
        self.newest = 0
        self.last_dropped_at = -math.inf
        """When the last one was published that found no room any more."""


class MemoryHistory:
    """The history of all groups of a process.

    One counter gives the offsets of all groups, so that a group that has been forgotten, since all it had
    ran out, goes on behind where it was.

    Args:
        idempotency_seconds: For how long a publication is known by its key.
        clock: Gives the time, in seconds from any beginning.
    """

    def __init__(self, idempotency_seconds: float, clock: Callable[[], float]) -> None:
        self._idempotency_seconds = idempotency_seconds
        self._clock = clock
        self._epoch = secrets.token_hex(6)
        self._newest = 0
        self._groups: dict[str, _Group] = {}
        self._ends: list[tuple[float, str]] = []  # one for each group, never later than its end
        self._keys: dict[tuple[str, str], tuple[float, int]] = {}  # in the order of their ends

    def keep(self, publication: Publication, policy: HistoryPolicy) -> Publication:
        """Keep a publication; give it with its place."""
        now = self._clock()
        self._forget(now)
        group = self._groups.get(publication.group)
        if group is None:
            group = self._groups[publication.group] = _Group(policy, self._newest)
            heapq.heappush(self._ends, (now + policy.seconds, publication.group))
        self._newest += 1
        name, message, exclude, key, *_ = publication
        kept = Publication(name, message, exclude, key, self._newest, group.newest, self._epoch)
        group.policy = policy
        group.newest = self._newest
        group.kept.append((now, kept))
        while len(group.kept) > policy.size:
            group.last_dropped_at = group.kept.popleft()[0]
        return kept

    def repeated(self, group: str, key: str) -> Kept | None:
        """Give what became of the publication that had this key; `None` if there was none.

        Raises:
            BrokerUnavailableError: If there are `MOST_KEYS` already, so that another could not be known.
        """
        now = self._clock()
        while self._keys:
            oldest = next(iter(self._keys))
            if self._keys[oldest][0] > now:
                break
            del self._keys[oldest]
        found = self._keys.get((group, key))
        if found is not None:
            return Kept(Position(found[1], self._epoch), repeated=True)
        if len(self._keys) >= MOST_KEYS:
            raise BrokerUnavailableError(f"too many idempotency keys, limit {MOST_KEYS}")
        return None

    def remember(self, publication: Publication, key: str) -> None:
        """Know a publication that is kept by its key from now on."""
        end = self._clock() + self._idempotency_seconds
        self._keys[publication.group, key] = (end, publication.offset)

    def read(self, name: str, policy: HistoryPolicy, since: int | None, limit: int) -> History:
        """Read what is kept of a group."""
        now = self._clock()
        self._forget(now)
        group = self._groups.get(name)
        if group is None:
            return History((), Position(self._newest, self._epoch), self._newest, whole=True)
        self._run_out(group, now)
        kept = [publication for _, publication in group.kept]
        if since is None:
            found = kept[-limit:] if limit else []
        else:
            found = [publication for publication in kept if publication.offset > since][:limit]
        # A publication may have run out, and the group still be there: its newest stays its newest.
        newest = group.newest if kept else self._newest
        floor = (found[0].previous or group.before) if found else newest
        whole = group.last_dropped_at <= now - policy.seconds
        return History(tuple(found), Position(newest, self._epoch), floor, whole)

    def _run_out(self, group: _Group, now: float) -> None:
        begin = now - group.policy.seconds
        while group.kept and group.kept[0][0] <= begin:
            group.kept.popleft()

    def _forget(self, now: float) -> None:
        """Forget what has run out, of groups whose first publication is due."""
        while self._ends and self._ends[0][0] <= now:
            _, name = heapq.heappop(self._ends)
            group = self._groups[name]
            self._run_out(group, now)
            if group.kept:
                heapq.heappush(self._ends, (group.kept[0][0] + group.policy.seconds, name))
            else:
                del self._groups[name]
