"""What was found out a moment ago, kept for a moment more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Recent"]

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A bounded mapping whose entries end: each as many seconds after it was put in.

    Args:
        seconds: For how long an entry is given; 0 keeps nothing.
        limit: Most entries; above it the oldest goes.
        clock: Gives the time in seconds from any beginning.
    """

    def __init__(self, seconds: float, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._limit = limit
        self._clock = clock
        # All are kept equally long, so that the order of their coming is that of their ends.
        self._entries: dict[bytes, tuple[float, Value]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Value | None:
        """Give what is kept under a key; `None` if there is nothing, or no longer."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: bytes, value: Value) -> None:
        """Keep a value, and let go of what has ended."""
        if not self._seconds:
            return
        now = self._clock()
        self._entries.pop(key, None)
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest][0] > now and len(self._entries) < self._limit:
                break
            del self._entries[oldest]
        self._entries[key] = (now + self._seconds, value)
