"""What a node's former links to Valkey may still bring, and how that is prevented."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["FormerLinks"]

_MOST: Final = 16
_MOST_RUNS: Final = 2000
"""Two for each primary of a cluster of a thousand, the most that it is made for."""


class FormerLinks:
    """The connections through which a node has sent, as the servers know them: by run and number.

    What a network holds back of a connection that has ended would reach the server behind what comes
    through the next one, and be kept there. So the next one ends it at the server first.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, deque[int]] = {}  # the run that was used last comes last

    def add(self, run: bytes, number: int) -> None:
        """Note a connection to a server."""
        numbers = self._numbers.pop(run, None) or deque(maxlen=_MOST)
        numbers.append(number)
        self._numbers[run] = numbers
        if len(self._numbers) > _MOST_RUNS:
            del self._numbers[next(iter(self._numbers))]

    def at(self, run: bytes) -> list[int]:
        """Give the numbers of those to a run of a server."""
        return list(self._numbers.get(run, ()))

    def discard(self, run: bytes, number: int) -> None:
        """Forget one that the server has ended."""
        numbers = self._numbers.get(run, deque())
        if number in numbers:
            numbers.remove(number)
