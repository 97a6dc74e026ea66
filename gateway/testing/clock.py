"""A clock that stands still until a test turns it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TestClock"]

# A call's own task, what it wakes, what that sends, and the flush at the turn's end, with some to spare.
_TURNS: Final = 8


class _Call:
    """A call that the clock will make.

    Args:
        callback: The function.
        args: Its arguments.
    """

    __slots__ = ("args", "callback", "cancelled")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """Do not make it."""
        self.cancelled = True


class TestClock:
    """A clock that stands still until it is turned.

    `after` and `every` of connections and nodes, `node.now()`, the deadlines of events and the ends of
    identities go by it. What the network does goes on in real time: pings, closing handshakes, unfinished
    messages; so do `asyncio.sleep` and `asyncio.timeout` in a handler.

    Args:
        now: Where it begins, in seconds since the epoch; `None` for the present.
    """

    __test__ = False  # pytest would take the name for that of a class of tests

    def __init__(self, now: float | None = None) -> None:
        self._offset = time.time() if now is None else now
        self._time = 0.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """Give the seconds since the epoch."""
        return self._offset + self._time

    def time(self) -> float:
        """Give the seconds by which it has been turned."""
        return self._time

    def call_later(self, delay: float, callback: Callable[..., Any], /, *args: Any) -> _Call:
        """Call a function when it has been turned by so many seconds more."""
        call = _Call(callback, args)
        heapq.heappush(self._calls, (self._time + max(delay, 0.0), next(self._numbers), call))
        return call

    @property
    def waiting(self) -> int:
        """How many calls wait for their time."""
        return sum(not call.cancelled for _, _, call in self._calls)

    async def turn(self, seconds: float) -> None:
        """Turn it forward; each call that falls due is made at its time, in order.

        After each the event loop runs for some turns, so that what a call has begun goes on before the next
        one comes. A call that awaits the network is not waited for.

        Raises:
            ValueError: If `seconds` is below 0.
        """
        if seconds < 0:
            raise ValueError(f"a clock is not turned back: {seconds} seconds")
        goal = self._time + seconds
        await _settle()
        while self._calls and self._calls[0][0] <= goal:
            when, _, call = heapq.heappop(self._calls)
            if call.cancelled:
                continue
            self._time = max(self._time, when)
            call.callback(*call.args)
            await _settle()
        self._time = goal


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
