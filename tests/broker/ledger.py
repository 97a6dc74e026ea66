"""What a witness keeps: which numbers came, and whether it was told of those that did not."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_SECONDS = 1.0
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


class Late(NamedTuple):
    """A number that came once, and behind a later one.

    Args:
        group: The group.
        publisher: The publisher's name.
        number: The number.
        fault: What stands of it among the faults.
    """

    group: str
    publisher: str
    number: int
    fault: str


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
        self.late: list[Late] = []
        """Of the faults, those that are out of order only."""
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
                self._look_late(group, publisher, number)
                return
            if number > last + 1:
                self.holes.append(Hole(group, publisher, last + 1, number - 1, now))
        self._last[group][publisher] = number

    def _look_late(self, group: str, publisher: str, number: int) -> None:
        late = Late(group, publisher, number, self.faults[-1])
        if any(one[:3] == late[:3] for one in self.late):
            return
        for hole in self.holes:
            if (hole.group, hole.publisher) == (group, publisher) and hole.first <= number <= hole.last:
                self.late.append(late)

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
            words = self._words[hole.group]
            missing = []
            for number in range(hole.first, hole.last + 1):
                published = published_at(hole.group, hole.publisher, number)
                if published is None:
                    continue
                # The first word of those that came after the publication: the others came later still.
                index = bisect_left(words, published)
                if index == len(words) or words[index] > hole.seen_at + LATE_SECONDS:
                    missing.append((number, words[index] - hole.seen_at if index < len(words) else None))
            if missing:
                (first, late), (last, _) = missing[0], missing[-1]
                word = "no word after" if late is None else f"the next word {late:.3f} seconds later"
                found.append(
                    f"{hole.publisher} to {hole.group}: {first} to {last} at {hole.seen_at:.3f}, {word}"
                )
        return found

    def latest(self, published_at: Callable[[str, str, int], float | None]) -> float:
        """Give by how many seconds the latest word came after its hole; 0 if all came before."""
        latest = 0.0
        for hole in self.holes:
            words = self._words[hole.group]
            for number in range(hole.first, hole.last + 1):
                published = published_at(hole.group, hole.publisher, number)
                index = len(words) if published is None else bisect_left(words, published)
                if index < len(words):
                    latest = max(latest, words[index] - hole.seen_at)
        return latest
