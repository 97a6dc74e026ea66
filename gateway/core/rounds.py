"""Calls that many connections get again and again, under one timer: their pings."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio

    from gateway.core.ping_connection import PingConnection

__all__ = ["Rounds"]


class _Batch(NamedTuple):
    """Connections whose turn comes at one time."""

    due: float
    connections: list[PingConnection]


class Rounds:
    """The pings of all connections with one interval.

    Connections are kept in batches by the time of their turn, which costs 9 bytes each, where an entry of
    a table with a time of its own costs 110. A turn comes late by at most a tenth of the interval, or a
    quarter of a second if that is less.

    Args:
        loop: The event loop whose monotonic clock counts.
        seconds: The interval.
    """

    __slots__ = ("_batches", "_ended", "_listed", "_loop", "_timer", "_width", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._batches: deque[_Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._width = min(seconds / 10, 0.25)
        self._listed = 0
        self._ended = 0
        self.seconds = seconds

    def __len__(self) -> int:
        return self._listed - self._ended

    def add(self, connection: PingConnection) -> None:
        """Have a connection pinged one interval from now, and each interval from there on."""
        earliest = self._loop.time() + self.seconds
        batches = self._batches
        if not batches or batches[-1].due < earliest:
            batches.append(_Batch(earliest + self._width, []))
        batches[-1].connections.append(connection)
        self._listed += 1
        if self._timer is None:
            self._timer = self._loop.call_at(batches[0].due, self._turn)

    def forget_one(self) -> None:
        """Note that a connection is not open any more.

        It is let go when its turn comes, or when half of those that are kept have ended.
        """
        self._ended += 1
        if self._ended > len(self):
            left = [_Batch(due, [one for one in listed if one.is_open]) for due, listed in self._batches]
            self._batches = deque(batch for batch in left if batch.connections)
            self._listed -= self._ended
            self._ended = 0

    def close(self) -> None:
        """Let every connection and the timer go."""
        self._batches.clear()
        self._listed = self._ended = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time()
        # uvloop's timers are to the millisecond: one may come a little early.
        while self._batches and self._batches[0].due <= now + 0.001:
            for connection in self._batches.popleft().connections:
                self._listed -= 1
                if connection.is_open:
                    connection.ping()
                    self.add(connection)
                else:
                    self._ended -= 1
        if self._batches and self._timer is None:
            self._timer = self._loop.call_at(self._batches[0].due, self._turn)
