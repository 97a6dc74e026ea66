"""What a witness keeps: which numbers came, and whether it was told of those that did not."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_SECONDS = 10.0
"""For how long a word may come after the hole that it is about: it goes another way than publications."""


class Hole(NamedTuple):
    """Numbers of a publisher that did not come.

    Args:
        group: The group.
        publisher: The publisher's name.
        first: The first number.
        last: The last one.
        seen_at: When it showed.
    """

    group: str
    publisher: str
    first: int
    last: int
    seen_at: float


class Ledger:
    """What one client was given, by group and publisher.

    The law: of each publisher every number comes, once and in order. Of one that does not come the client is
    told, after it was published and at most `LATE_SECONDS` after the next one has come.
    """

    def __init__(self) -> None:
        self._last: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._words: defaultdict[str, list[float]] = defaultdict(list)
        self.holes: list[Hole] = []
        """Numbers that did not come before others did."""
        self.faults: list[str] = []
        """What came twice, or out of order."""
        self.words = 0
        """How often it was told that some may be missing."""
        self.taken = 0
        """How many numbers came."""

    def begin(self, group: str, publisher: str) -> None:
        """Expect everything of a publisher to a group, from number 1 on."""
        self._last[group][publisher] = 0

    def take(self, group: str, publisher: str, number: int, now: float) -> None:
        """Take a number that has come."""
        self.taken += 1
        last = self._last[group].get(publisher)
        if last is not None:
            if number <= last:
                self.faults.append(f"{publisher} to {group}: {number} came after {last}")
                return
            if number > last + 1:
                self.holes.append(Hole(group, publisher, last + 1, number - 1, now))
        self._last[group][publisher] = number

    def tell(self, group: str, now: float) -> None:
        """Take the word that publications to a group may be missing."""
        self.words += 1
        self._words[group].append(now)

    def forget(self, group: str) -> None:
        """Take part in a group anew: what comes first is the beginning."""
        self._last[group].clear()

    def last(self, group: str, publisher: str) -> int:
        """Give the last number that came; 0 if none has."""
        return self._last[group].get(publisher, 0)

    def unexplained(self, published_at: Callable[[str, str, int], float | None]) -> list[str]:
        """Give what did not come, and nobody has told of.

        Args:
            published_at: Gives when a publisher has published a number to a group; `None` if it is not known
                to have been published.
        """
        found = []
        for hole in self.holes:
            words = [word for word in self._words[hole.group] if word <= hole.seen_at + LATE_SECONDS]
            told_until = words[-1] if words else float("-inf")
            missing = []
            for number in range(hole.first, hole.last + 1):
                published = published_at(hole.group, hole.publisher, number)
                if published is not None and published > told_until:
                    missing.append(number)
            if missing:
                found.append(
                    f"{hole.publisher} to {hole.group}: {missing[0]} to {missing[-1]} at {hole.seen_at:.3f}, "
                    f"the last word at {told_until:.3f}"
                )
        return found
