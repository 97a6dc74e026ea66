"""How often somebody may try to log in: each wrong token makes its address wait longer."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoginThrottle"]

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
_FORGOTTEN_SECONDS: Final = 3600.0
_MOST_DOUBLINGS: Final = 16
_MOST_ADDRESSES: Final = 4096


class LoginThrottle:
    """The memory of wrong tokens by address.

    After a wrong one nothing from there is judged for a second, then for two, four, and at most a minute;
    after an hour without one it is forgotten. Where there is no room for another address, the one that has
    been quiet the longest is forgotten.

    Args:
        clock: A monotonic clock in seconds.
        most: How many addresses are remembered.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST_ADDRESSES) -> None:
        self._clock = clock
        self._most = most
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """The number of wrong tokens and the time of the last, the longest ago first."""

    def __len__(self) -> int:
        return len(self._wrong)

    def wait(self, address: str) -> float:
        """Give for how many seconds nothing from this address is judged; 0: now it is."""
        count, at = self._wrong.get(address, (0, 0.0))
        if count == 0:
            return 0.0
        seconds = min(_FIRST_SECONDS * 2.0 ** min(count - 1, _MOST_DOUBLINGS), _LONGEST_SECONDS)
        return max(0.0, at + seconds - self._clock())

    def failed(self, address: str) -> int:
        """Remember a wrong token; give how many there were from this address."""
        now = self._clock()
        count, at = self._wrong.pop(address, (0, now))
        count = 1 if now - at > _FORGOTTEN_SECONDS else count + 1
        if len(self._wrong) >= self._most:
            self._wrong.popitem(last=False)
        self._wrong[address] = (count, now)
        return count

    def passed(self, address: str) -> None:
        """Forget the wrong tokens of an address: a right one has come."""
        self._wrong.pop(address, None)
