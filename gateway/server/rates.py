"""Rates of opening handshakes: a token bucket for each of many keys, in bounded memory."""

from __future__ import annotations

from itertools import islice
from typing import Final

__all__ = ["Rates"]

_MOST_KEYS: Final = 65_536  # 12 MB
_NOTHING_SECONDS: Final = 1e-6  # what rounding may leave of a wait


class Rates:
    """A token bucket for each key, which holds one burst and fills at one rate.

    A bucket is kept as the time at which it will be full again, and not at all once it is full. Under an
    attack from more keys than are kept, those longest unseen begin anew with full buckets.

    Args:
        per_second: Tokens that each bucket gains a second.
        burst: Tokens that each holds; 0 stands for one second's worth.
        most: Most buckets that are kept.
    """

    __slots__ = ("_full_at", "_interval", "_most", "_room")

    def __init__(self, per_second: float, burst: int, most: int = _MOST_KEYS) -> None:
        self._interval = 1 / per_second
        self._room = max(burst or per_second, 1) * self._interval
        self._most = most
        # In the order of the last token taken.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: str, now: float) -> float:
        """Give the seconds until a key's bucket has a token; 0 if it has one now.

        Args:
            key: The key.
            now: Seconds of a monotonic clock.
        """
        full_at = max(self._full_at.get(key, now), now)
        seconds = full_at + self._interval - self._room - now
        return seconds if seconds > _NOTHING_SECONDS else 0.0

    def take(self, key: str, now: float) -> None:
        """Take a token that is there from a key's bucket."""
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        # Two are looked at for each that is added, so that they become fewer when the rush is over.
        for oldest in tuple(islice(self._full_at, 2)):
            if self._full_at[oldest] <= now or len(self._full_at) >= self._most:
                del self._full_at[oldest]
        self._full_at[key] = full_at
