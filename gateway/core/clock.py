"""Time, as a node and its handlers see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Call", "Clock", "SystemClock", "Timers"]


class Call(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Do not make it; nothing happens if it has been made."""


class Timers(Protocol):
    """What makes calls in the future: an event loop, or a clock."""

    def time(self) -> float:
        """Give the seconds since any beginning; they are never set back."""

    def call_later(self, delay: float, callback: Callable[..., Any], /, *args: Any) -> Call:
        """Call a function in so many seconds."""


class Clock(Timers, Protocol):
    """What time it is.

    Handlers' timers, the deadlines of their events and the ends of identities go by it. What the network
    does, such as pings and closing handshakes, always goes by the event loop.
    """

    def now(self) -> float:
        """Give the seconds since the epoch."""


class SystemClock:
    """The clock of the system, and the event loop's timers.

    Args:
        loop: The event loop.
    """

    __slots__ = ("call_later", "now", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The functions themselves: a call through a method of ours would cost twice as much.
        self.time = loop.time
        self.call_later: Callable[..., asyncio.TimerHandle] = loop.call_later
        self.now = time.time
