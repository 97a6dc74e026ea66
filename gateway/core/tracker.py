"""One group with history, as a node follows it: each publication once, in order, and no hole unseen."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.broker.contract import Position

if TYPE_CHECKING:
    from gateway.broker.contract import History, HistoryPolicy, Publication

__all__ = ["Tracker", "Verdict"]

_MOST_LEFT: Final = 4
"""Epochs that are known as former ones."""


class Verdict(Enum):
    """What is to be done with a publication."""

    DELIVER = auto()
    """It is the next."""
    REPEATED = auto()
    """Members have it."""
    HOLE = auto()
    """Others belong before it."""
    NEW_EPOCH = auto()
    """The history has begun anew: nobody knows what was in between. From here on it is followed."""
    FORMER_EPOCH = auto()
    """It is of a history that has been left for another: it has been on its way for long, or that goes on."""


class _Mirror(NamedTuple):
    """The newest publications of the group.

    Args:
        publications: In order.
        floor: None of the group lies between this offset and the first of them.
        whole: As `History.whole`.
    """

    publications: deque[Publication]
    floor: int
    whole: bool


class Tracker:
    """What a node knows about a group with history.

    Args:
        group: Its name.
        policy: What it keeps.
    """

    __slots__ = (
        "_left",
        "_mirror",
        "_tail",
        "blind_since",
        "group",
        "healing",
        "held",
        "holds",
        "learning",
        "overrun",
        "policy",
        "position",
        "reading",
        "wanted",
    )

    def __init__(self, group: str, policy: HistoryPolicy) -> None:
        self.group = group
        self.policy = policy
        self.position: Position | None = None
        """Up to where this node's members have everything; `None` until it is known."""
        self.learning = 0
        """How many questions for its position are under way."""
        self.wanted = False
        """Whether the group has members here."""
        self.holds = 0
        """How many opening handshakes are about to make a member."""
        self.healing = False
        """Whether the engine is being asked for what lies in a hole; what arrives meanwhile is held."""
        self.blind_since = -math.inf
        """Until when the position was the newest for certain, before what is being mended."""
        self.held: list[Publication] = []
        self.overrun = False
        """Whether the engine has to be asked once more: more came than could be held, or was missed anew."""
        self.reading = asyncio.Lock()
        """Taken by whoever asks the engine for all that it keeps."""
        self._mirror: _Mirror | None = None
        self._tail: list[Publication] | None = None
        self._left: dict[str, int] = {}  # former epochs, and how far members have them

    def judge(self, publication: Publication) -> Verdict:
        """Judge a publication that has come; it is followed by `advance` if it is delivered."""
        position = self.position
        if position is None:
            return Verdict.DELIVER
        if publication.epoch != position.epoch:
            return Verdict.FORMER_EPOCH if publication.epoch in self._left else Verdict.NEW_EPOCH
        if publication.offset <= position.offset:
            return Verdict.REPEATED
        return Verdict.DELIVER if publication.previous <= position.offset else Verdict.HOLE

    def advance(self, publication: Publication) -> None:
        """Note that a publication goes to the members now."""
        former = self.position
        self.position = Position(publication.offset, publication.epoch)
        if former is not None and former.epoch != publication.epoch:
            self._mirror = self._tail = None
            self._leave(former, publication.epoch)
            return
        if self._tail is not None:
            self._tail.append(publication)
        if self._mirror is not None:
            self._reflect(self._mirror, publication)

    def _reflect(self, mirror: _Mirror, publication: Publication) -> None:
        publications = mirror.publications
        publications.append(publication)
        if len(publications) > self.policy.size:
            self._mirror = mirror._replace(floor=publications.popleft().offset, whole=False)

    def adopt(self, position: Position) -> None:
        """Follow the group from a position on; what came before it is unknown."""
        former = self.position
        if position != former:
            self._mirror = self._tail = None
        if former is not None and former.epoch != position.epoch:
            self._leave(former, position.epoch)
        self.position = position

    def begin_epoch(self, epoch: str) -> None:
        """Follow another history from its beginning, or from where it was left for others before."""
        self.adopt(Position(self._left.get(epoch, 0), epoch))

    def _leave(self, former: Position, epoch: str) -> None:
        left = self._left
        left.pop(epoch, None)
        left[former.epoch] = former.offset
        if len(left) > _MOST_LEFT:
            del left[next(iter(left))]

    @property
    def mirrored(self) -> bool:
        """Whether the group's newest publications are at hand."""
        return self._mirror is not None

    def begin_mirror(self) -> None:
        """Note what is delivered from now on, as the engine is about to be asked for all that it keeps."""
        self._tail = []

    def mirror(self, history: History) -> None:
        """Keep the group's newest publications at hand from now on: nobody has to ask the engine for them.

        Args:
            history: All that the group keeps, asked for after `begin_mirror`. The tracker must have been
                advanced to its end, or beyond.
        """
        tail, self._tail = self._tail, None
        position, newest = self.position, history.newest
        if tail is None or position is None or position.epoch != newest.epoch:
            return  # it has begun anew meanwhile: the next one who needs it asks again
        if position.offset < newest.offset:
            return  # a hole is being mended
        mirror = self._mirror = _Mirror(deque(history.publications), history.floor, history.whole)
        for publication in tail:
            if publication.offset > newest.offset:
                self._reflect(mirror, publication)
                mirror = self._mirror

    def missed(self, since: Position) -> list[Publication] | None:
        """Give what came after a position that was the newest within the history's time, in order.

        Returns:
            The publications; `None` if it cannot be told what they are.
        """
        position, mirror = self.position, self._mirror
        if position is None or position.epoch != since.epoch or since.offset > position.offset:
            return None
        if since.offset == position.offset:
            return []
        if mirror is None or not (since.offset >= mirror.floor or mirror.whole):
            return None
        missed = [one for one in mirror.publications if one.offset > since.offset]
        return None if any(one.lost for one in missed) else missed
