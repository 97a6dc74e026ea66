"""What a witness keeps: which numbers came, and whether it was told of those that did not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LATE_SECONDS = 10.0
"""For how long a word may come after the hole that it is about: it goes another way than publications."""


class Hole(NamedTuple):
    """Numbers of a publisher that did not come, of which there was no word.

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


@dataclass(slots=True)
class _Group:
    words: int = 0
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By publisher: the last number that came, and how many words there had been by then."""


class Ledger:
    """What one client was given, by group and publisher.

    The law: of each publisher every number comes, once and in order; or else the client is told, at any time
    after the number before those that are missing, and at most `LATE_SECONDS` after the one behind them.
    """

    def __init__(self) -> None:
        self._groups: defaultdict[str, _Group] = defaultdict(_Group)
        self.holes: list[Hole] = []
        """Those that nobody has told of."""
        self.faults: list[str] = []
        """What came twice, or out of order."""
        self.excused = 0
        """How many numbers did not come, as was told."""
        self.taken = 0
        """How many came."""

    def begin(self, group: str, publishers: Iterable[str]) -> None:
        """Expect everything of some publishers to a group, from number 1 on."""
        for publisher in publishers:
            self._groups[group].last[publisher] = (0, self._groups[group].words)

    def take(self, group: str, publisher: str, number: int, now: float) -> None:
        """Take a number that has come."""
        self.taken += 1
        state = self._groups[group]
        former = state.last.get(publisher)
        if former is not None:
            last, words = former
            if number <= last:
                self.faults.append(f"{publisher} to {group}: {number} came after {last}")
                return
            if number > last + 1:
                if words < state.words:
                    self.excused += number - last - 1
                else:
                    self.holes.append(Hole(group, publisher, last + 1, number - 1, now))
        state.last[publisher] = (number, state.words)

    def tell(self, group: str, now: float) -> None:
        """Take the word that publications to a group may be missing."""
        self._groups[group].words += 1
        kept = []
        for hole in self.holes:
            if hole.group == group and now - hole.seen_at <= LATE_SECONDS:
                self.excused += hole.last - hole.first + 1
            else:
                kept.append(hole)
        self.holes = kept

    def forget(self, group: str) -> None:
        """Take part in a group anew: what comes first is the beginning."""
        self._groups[group].last.clear()

    def last(self, group: str, publisher: str) -> int:
        """Give the last number that came; 0 if none has."""
        found = self._groups[group].last.get(publisher)
        return 0 if found is None else found[0]
