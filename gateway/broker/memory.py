"""The broker of a single process: publications go straight back to the node that made them."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import TYPE_CHECKING, Final

from gateway.broker.contract import BrokerStatus, BrokerUnavailableError, Kept, Position, no_history
from gateway.broker.memory_history import MemoryHistory

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.broker.contract import (
        Deliver,
        History,
        HistoryOf,
        HistoryPolicy,
        Note,
        Notified,
        OnGap,
        Publication,
    )

__all__ = ["MemoryBroker"]

MOST_CLAIMS: Final = 100_000
"""Most claims that are kept; some 25 MB."""


class MemoryBroker:
    """A broker without a network: for one worker on one machine.

    Args:
        history_of: Gives how much history a group keeps; it is lost with the process.
        idempotency_seconds: For how long a publication is known by its idempotency key.
        clock: Gives the time by which claims and history end, in seconds from any beginning.
    """

    def __init__(
        self,
        history_of: HistoryOf = no_history,
        idempotency_seconds: float = 120,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = BrokerStatus()
        self._history_of = None if history_of is no_history else history_of
        self._history = MemoryHistory(idempotency_seconds, clock)
        self._deliver: Deliver | None = None
        self._notified: Notified | None = None
        self._clock = clock
        self._claimed: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    async def start(self, deliver: Deliver, notified: Notified, on_gap: OnGap) -> None:  # noqa: ARG002
        """Remember where publications and notes go; there are no gaps."""
        self.status.connected = True
        self.status.since = asyncio.get_running_loop().time()
        self._deliver = deliver
        self._notified = notified

    async def stop(self) -> None:
        """Forget it; what is published afterwards reaches no one."""
        self._deliver = None
        self._notified = None

    def subscribe(self, group: str) -> None:
        """Do nothing: every publication comes back."""

    def unsubscribe(self, group: str) -> None:
        """Do nothing, as `subscribe`."""

    def publish(self, publication: Publication) -> int:
        """Deliver at once."""
        if self._deliver is None:
            return 0
        if self._history_of is not None:
            policy = self._history_of(publication.group)
            if policy is not None:
                publication = self._history.keep(publication, policy)
        return self._deliver(publication)

    def notify(self, note: Note) -> int:
        """Hand the note over at once."""
        return self._notified(note) if self._notified is not None else 0

    async def claim(self, key: str, seconds: float) -> bool:
        """Look whether the key is claimed, and claim it.

        Raises:
            BrokerUnavailableError: If the broker does not run, or if there are `MOST_CLAIMS` already.
        """
        if self._deliver is None:
            raise BrokerUnavailableError("not started")
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            self._claimed.discard(heapq.heappop(self._ends)[1])
        if key in self._claimed:
            return False
        if len(self._claimed) >= MOST_CLAIMS:
            raise BrokerUnavailableError(f"too many claims, limit {MOST_CLAIMS}")
        self._claimed.add(key)
        heapq.heappush(self._ends, (now + seconds, key))
        return True

    def _policy(self, group: str) -> HistoryPolicy:
        policy = None if self._history_of is None else self._history_of(group)
        if policy is None:
            raise ValueError("the group keeps no history")
        return policy

    async def store(self, publication: Publication, idempotency_key: str | None = None) -> Kept:
        """Keep it, and deliver it.

        Raises:
            BrokerUnavailableError: If the broker does not run, or knows too many keys already.
            ValueError: If the group keeps no history.
        """
        policy = self._policy(publication.group)
        if self._deliver is None:
            raise BrokerUnavailableError("not started")
        if idempotency_key is not None:
            repeated = self._history.repeated(publication.group, idempotency_key)
            if repeated is not None:
                return repeated
        kept = self._history.keep(publication, policy)
        if idempotency_key is not None:
            self._history.remember(kept, idempotency_key)
        self._deliver(kept)
        return Kept(Position(kept.offset, kept.epoch))

    async def history(self, group: str, since: int | None, limit: int) -> History:
        """Read what is kept.

        Raises:
            BrokerUnavailableError: If the broker does not run.
            ValueError: If the group keeps no history.
        """
        policy = self._policy(group)
        if self._deliver is None:
            raise BrokerUnavailableError("not started")
        return self._history.read(group, policy, since, limit)
