"""Many deadlines of one length under one timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gateway.core.clock import Call, Timers

__all__ = ["Deadlines"]

Item = TypeVar("Item", bound="Hashable")


class Deadlines(Generic[Item]):
    """Deadlines that all lie the same number of seconds after their beginning.

    Since the length is one, the order of beginning is the order of ending, and one timer for the oldest
    does for all: beginning and ending one costs 0.2 µs, where a timer each costs 2.

    Args:
        timers: Whose monotonic clock counts: the event loop, or the node's clock.
        seconds: The length.
        expire: Called with each item whose deadline has passed; it is no longer in here then.
    """

    __slots__ = ("_expire", "_items", "_timer", "_timers", "seconds")

    def __init__(self, timers: Timers, seconds: float, expire: Callable[[Item], None]) -> None:
        self._timers = timers
        self._expire = expire
        self._items: dict[Item, float] = {}
        self._timer: Call | None = None
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: Item) -> bool:
        return item in self._items

    def begin(self, item: Item) -> None:
        """Start an item's deadline, or start it anew."""
        self._items.pop(item, None)
        self._items[item] = self._timers.time() + self.seconds
        if self._timer is None:
            self._timer = self._timers.call_later(self.seconds, self._sweep)

    def end(self, item: Item) -> None:
        """Take an item out; it need not be in."""
        self._items.pop(item, None)

    def left(self, item: Item) -> float:
        """Give the seconds to an item's deadline; 0 if it is not in here."""
        return self._items[item] - self._timers.time() if item in self._items else 0.0

    def close(self) -> None:
        """Take every item out and let the timer go."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = self._timers.time()
        passed: list[Item] = []
        for item, deadline in self._items.items():
            if deadline > now:
                break
            passed.append(item)
        for item in passed:
            # An earlier item's expiry may have ended this one.
            if self._items.pop(item, None) is not None:
                self._expire(item)
        if self._items and self._timer is None:
            # What expires within a tenth of the length goes with the next sweep, so that a thousand
            # connections opened in one second do not wake the loop a thousand times.
            first = next(iter(self._items.values()))
            delay = max(first - self._timers.time(), min(self.seconds / 10, 0.25))
            self._timer = self._timers.call_later(delay, self._sweep)
