"""The look at the event loop and the handlers, ten times a second."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.observe.families import LAG_SECONDS
from gateway.observe.histogram import Histogram

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from gateway.core.timing import Sampler

__all__ = ["TICK_SECONDS", "Watch"]

TICK_SECONDS: Final = 0.1
_WINDOW_TICKS: Final = 150


class Watch:
    """What finds out how late the event loop is, and has a message of each route timed.

    Args:
        loop: The event loop.
    """

    __slots__ = ("_due", "_former", "_loop", "_recent", "_ticks", "_timer", "beat", "lag", "samplers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lag = Histogram(LAG_SECONDS)
        """How late it was."""
        self.samplers: Sequence[Sampler] = ()
        """Of the routes that have something to time."""
        self.beat: Callable[[], None] | None = None
        """Called at each look, by which it shows that the loop turns."""
        self._due = 0.0
        self._ticks = 0
        self._recent = self._former = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def longest(self) -> float:
        """The longest that the loop was late in the last 15 to 30 seconds."""
        return max(self._recent, self._former)

    def begin(self) -> None:
        """Look from now on."""
        self._plan()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        # By the monotonic clock: that of uvloop stands still within a turn.
        self._due = monotonic() + TICK_SECONDS
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        if self.beat is not None:
            self.beat()
        late = max(monotonic() - self._due, 0.0)
        self.lag.observe(late)
        self._recent = max(self._recent, late)
        self._ticks += 1
        if self._ticks == _WINDOW_TICKS:
            self._ticks = 0
            self._former, self._recent = self._recent, 0.0
        self._plan()
        for sampler in self.samplers:
            sampler.arm()
