"""What a node's former links to Valkey may still bring, and how that is prevented."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["FormerLinks"]

_MOST: Final = 16


class FormerLinks:
    """The connections through which a node has sent, as the servers know them: by run and number.

    What a network holds back of a connection that has ended would reach the server behind what comes
    through the next one, and be kept there. So the next one ends it at the server first.
    """

    def __init__(self) -> None:
        self._links: deque[tuple[bytes, int]] = deque(maxlen=_MOST)

    def add(self, run: bytes, number: int) -> None:
        """Note a connection to a server."""
        self._links.append((run, number))

    def at(self, run: bytes) -> list[int]:
        """Give the numbers of those to a run of a server."""
        return [number for found, number in self._links if found == run]

    def discard(self, run: bytes, number: int) -> None:
        """Forget one that the server has ended."""
        if (run, number) in self._links:
            self._links.remove((run, number))
