"""When a plugin that fails is stopped, and when it is tried again."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.models import BreakerConfig

__all__ = ["Breaker", "Phase"]


class Phase(Enum):
    """How far a breaker is."""

    WORKING = "working"
    """Events are raised."""
    STOPPED = "stopped"
    """None is raised."""
    WAITING = "waiting"
    """The next one is raised, to see what becomes of it."""
    TRYING = "trying"
    """It is under way; no other one is raised."""


class Breaker:
    """The circuit breaker of one plugin. It knows no clock and makes no call.

    Args:
        config: When it stops the plugin.
    """

    __slots__ = ("_failed_at", "_within", "phase")

    def __init__(self, config: BreakerConfig) -> None:
        self._within = config.within_seconds
        self._failed_at: deque[float] | None = deque(maxlen=config.failures) if config.failures else None
        """When the last events failed, as many as stop the plugin."""
        self.phase = Phase.WORKING

    def fail(self, now: float) -> bool:
        """Note that an event has failed.

        Args:
            now: Seconds of a monotonic clock.

        Returns:
            Whether that stops the plugin.
        """
        times = self._failed_at
        if times is None or self.phase is Phase.STOPPED:
            return False
        if self.phase is Phase.WORKING:
            times.append(now)
            if len(times) != times.maxlen or now - times[0] > self._within:
                return False
        times.clear()
        self.phase = Phase.STOPPED
        return True

    def wait(self) -> None:
        """End the pause: the next event is a trial."""
        self.phase = Phase.WAITING

    def take(self) -> bool:
        """Tell whether an event may be the trial, and make it so."""
        if self.phase is not Phase.WAITING:
            return False
        self.phase = Phase.TRYING
        return True

    def succeed(self) -> bool:
        """Note that the trial went well; tell whether the plugin works again by that."""
        if self.phase is not Phase.TRYING:
            return False
        self.phase = Phase.WORKING
        return True
