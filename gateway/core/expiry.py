"""The end of identities: a connection is closed when the proof of who opened it runs out."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Final

from gateway.protocol.close_codes import IDENTITY_EXPIRED

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.clock import Call, Timers
    from gateway.core.connection import Connection
    from gateway.core.identity import Identity

__all__ = ["Expiries"]

_LOOK_SECONDS: Final = 1.0
_AT_ONCE: Final = 200  # ends so many in one turn of the loop: 2 ms


class Expiries:
    """The connections whose identities end.

    Proofs end by the calendar, so this goes by the clock that may be set, and looks at it once a second
    while there is something to look for, and when the next ones end: a connection is closed with 4401
    within a second of its end. Connections are kept by the second in which they end, at 9 bytes each.

    Args:
        timers: What looks at it: the event loop, or the node's clock.
        now: Gives the seconds since the epoch.
    """

    __slots__ = ("_by_second", "_ended", "_listed", "_looking", "_now", "_seconds", "_timer", "_timers")

    def __init__(self, timers: Timers, now: Callable[[], float]) -> None:
        self._timers = timers
        self._now = now
        self._by_second: dict[int, list[Connection]] = {}
        self._seconds: list[int] = []
        self._timer: Call | None = None
        self._listed = 0
        self._ended = 0
        self._looking = False

    def __len__(self) -> int:
        return self._listed - self._ended

    def add(self, connection: Connection) -> None:
        """Close a connection when its identity ends; one without an end, or without an identity, never."""
        second = None if connection.identity is None else _second(connection.identity)
        if second is None:
            return
        found = self._by_second.get(second)
        if found is None:
            found = self._by_second[second] = []
            heapq.heappush(self._seconds, second)
        found.append(connection)
        self._listed += 1
        if self._timer is None:
            self._timer = self._timers.call_later(_LOOK_SECONDS, self._look)

    def renew(self, connection: Connection, former: Identity) -> None:
        """Go by the identity that a connection has now, instead of a former one."""
        identity = connection.identity
        if identity is not None and _second(identity) == _second(former):
            return
        self.add(connection)
        if former.expires_at is not None:
            self.forget_one()

    def forget_one(self) -> None:
        """Note that one entry is of no use any more: its connection has ended, or has a newer identity.

        Entries go when their second comes, or when half of them are of no use.
        """
        self._ended += 1
        if not self._looking:
            self._tidy()

    def _tidy(self) -> None:
        if 2 * self._ended > self._listed:
            self._by_second = {
                second: left
                for second, listed in self._by_second.items()
                # Two renewals can bring a connection back to a second in which it is listed already.
                if (left := [one for one in dict.fromkeys(listed) if _ends(one, second)])
            }
            self._seconds = list(self._by_second)
            heapq.heapify(self._seconds)
            self._listed = sum(map(len, self._by_second.values()))
            self._ended = 0

    def close(self) -> None:
        """Let every connection and the timer go."""
        self._by_second.clear()
        self._seconds.clear()
        self._listed = self._ended = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._now()
        due: list[Connection] = []
        while self._seconds and self._seconds[0] <= now and len(due) < _AT_ONCE:
            listed = self._by_second[self._seconds[0]]
            taken = listed[len(due) - _AT_ONCE :]
            del listed[-len(taken) :]
            due += taken
            if not listed:
                del self._by_second[heapq.heappop(self._seconds)]
        # Each of these entries was of no use before, or counts itself as such when its connection ends; so
        # the counts are right again only when all of them have.
        self._listed -= len(due)
        self._ended -= len(due)
        self._looking = True
        for connection in due:
            identity = connection.identity
            if identity is not None and identity.expires_at is not None and identity.expires_at <= now:
                connection.begin_close(IDENTITY_EXPIRED, "identity expired")
        self._looking = False
        self._tidy()
        if self._seconds and self._timer is None:
            seconds = min(max(self._seconds[0] - now, 0.0), _LOOK_SECONDS)
            self._timer = self._timers.call_later(seconds, self._look)


def _ends(connection: Connection, second: int) -> bool:
    """Tell whether an open connection's identity, which may be a newer one, ends in this second."""
    return connection.is_open and connection.identity is not None and _second(connection.identity) == second


def _second(identity: Identity) -> int | None:
    return None if identity.expires_at is None else math.ceil(identity.expires_at)
