"""A broker around a gateway's own: it notes what is published, and can be out of order."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.broker.contract import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.broker.contract import (
        Broker,
        BrokerStatus,
        Deliver,
        History,
        Kept,
        Note,
        Notified,
        OnGap,
        Publication,
    )
    from gateway.testing.published import Published

__all__ = ["WatchedBroker"]


class WatchedBroker:
    """A broker that has another one do its work.

    Args:
        inner: The other one.
        published: Gets each publication that somebody may have got.
    """

    def __init__(self, inner: Broker, published: Published) -> None:
        self._inner = inner
        self._published = published
        self._deliver: Deliver | None = None
        self._on_gap: OnGap | None = None
        self._out = False
        self._refuses = False

    @property
    def status(self) -> BrokerStatus:
        """How the other one is."""
        return self._inner.status

    @contextmanager
    def outage(self, *, refuse: bool) -> Iterator[None]:
        """Be out of order until the block ends, and tell of a gap then.

        Args:
            refuse: Whether publications fail, as with `when_down: refuse`; otherwise they reach this node's
                members only.
        """
        status = self.status
        before = (status.connected, status.patience_seconds, status.proved_at)
        self._out, self._refuses = True, refuse
        status.connected, status.patience_seconds, status.proved_at = False, 0.0, -math.inf
        status.since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._out = False
            status.connected, status.patience_seconds, status.proved_at = before
            status.since = asyncio.get_running_loop().time()
            status.reconnects += 1
            if self._on_gap is not None:
                self._on_gap()

    async def start(self, deliver: Deliver, notified: Notified, on_gap: OnGap) -> None:
        """Start the other one."""
        self._deliver = deliver
        self._on_gap = on_gap
        await self._inner.start(deliver, notified, on_gap)

    async def stop(self) -> None:
        """Stop the other one."""
        self._deliver = self._on_gap = None
        await self._inner.stop()

    def subscribe(self, group: str) -> None:
        """Have the other one subscribe."""
        self._inner.subscribe(group)

    def unsubscribe(self, group: str) -> None:
        """Have the other one unsubscribe."""
        self._inner.unsubscribe(group)

    def publish(self, publication: Publication) -> int:
        """Note a publication and pass it on; while out of order, refuse it or deliver it here only."""
        if not self._out:
            received = self._inner.publish(publication)
        else:
            self._raise_if(self._refuses)
            self.status.publications_lost += 1
            received = self._deliver(publication) if self._deliver is not None else 0
        self._published.add(publication)
        return received

    def notify(self, note: Note) -> int:
        """Pass a note on, also while out of order: notes wait for a connection."""
        return self._inner.notify(note)

    async def claim(self, key: str, seconds: float) -> bool:
        """Ask the other one.

        Raises:
            BrokerUnavailableError: While out of order, and whenever the other one says so.
        """
        self._raise_if(self._out)
        return await self._inner.claim(key, seconds)

    async def store(self, publication: Publication, idempotency_key: str | None = None) -> Kept:
        """Have the other one keep a publication, and note it.

        Raises:
            BrokerUnavailableError: While out of order, and whenever the other one says so.
        """
        self._raise_if(self._out)
        kept = await self._inner.store(publication, idempotency_key)
        if not kept.repeated:
            self._published.add(publication)
        return kept

    async def history(self, group: str, since: int | None, limit: int) -> History:
        """Ask the other one.

        Raises:
            BrokerUnavailableError: While out of order, and whenever the other one says so.
        """
        self._raise_if(self._out)
        return await self._inner.history(group, since, limit)

    @staticmethod
    def _raise_if(refused: bool) -> None:
        if refused:
            raise BrokerUnavailableError("out of order, as the test wants it")
