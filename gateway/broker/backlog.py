"""What waits for the engine to keep it, and what the engine has not answered yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.broker.contract import BrokerUnavailableError, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.broker.link import Keep

__all__ = ["Backlog"]

MOST_UNDER_WAY: Final = 2048
"""Most publications that are on their way at once: engines refuse what they cannot take in time, and so many
may be of unknown fate when a link ends."""

_BYTES_AT_ONCE: Final = 262_144


class Backlog:
    """The bounded queue of publications to groups with history, in the order of the calls.

    It outlives the links: what waits is sent through the next one. What was on its way is not sent again,
    since it may be kept already.

    Args:
        most_bytes: Most bytes that wait.
        refused: Called for each publication that the engine refuses, unless someone waits for the answer.
    """

    def __init__(self, most_bytes: int, refused: Callable[[Keep, BrokerUnavailableError], None]) -> None:
        self._most_bytes = most_bytes
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Keep] = deque()
        self._bytes = 0
        self._marked: set[str] = set()
        self._under_way: dict[Keep, float] = {}
        self._answers: dict[Keep, asyncio.Future[Kept]] = {}
        self.due = asyncio.Event()
        """Set while there may be something to send."""
        self.idle = asyncio.Event()
        """Set while nothing waits, and all that was sent is answered."""
        self.idle.set()

    def has_room(self, size: int) -> bool:
        """Tell whether a message of this size would be taken."""
        return self._bytes + size <= self._most_bytes

    def add(self, keep: Keep) -> None:
        """Add a message, for which there must be room."""
        self._waiting.append(keep)
        self._bytes += len(keep.data)
        self.idle.clear()
        if len(self._under_way) < MOST_UNDER_WAY:
            self.due.set()

    def mark(self, keep: Keep) -> None:
        """Put a message that stands for lost ones before all that waits; one for each group is enough."""
        if keep.group not in self._marked:
            self._marked.add(keep.group)
            self._waiting.appendleft(keep)
            self._bytes += len(keep.data)
            self.idle.clear()
            self.due.set()

    def ask(self, keep: Keep) -> asyncio.Future[Kept]:
        """Add a message, and give its answer to be; if that is cancelled, a message that waits is not sent.

        The answer is a `BrokerUnavailableError` if the engine refuses it, or does not answer.
        """
        answer = self._answers[keep] = self._loop.create_future()
        self.add(keep)
        return answer

    def take(self) -> list[Keep]:
        """Take what is to be sent next: as much as may be on its way."""
        taken: list[Keep] = []
        room = MOST_UNDER_WAY - len(self._under_way)
        size = 0
        now = self._loop.time()
        while self._waiting and len(taken) < room and size < _BYTES_AT_ONCE:
            keep = self._waiting.popleft()
            size += len(keep.data)
            if keep.lost:
                self._marked.discard(keep.group)
            if keep.position_wanted and self._answers[keep].done():
                del self._answers[keep]  # whoever asked has given up
            else:
                taken.append(keep)
                self._under_way[keep] = now
        self._bytes -= size
        if self._waiting and len(taken) < room:
            self.due.set()
        else:
            self.due.clear()
            self._look_idle()
        return taken

    def answered(self, keep: Keep, outcome: Kept | BrokerUnavailableError | None) -> None:
        """Take the engine's answer; one that comes too late counts for nothing."""
        if self._under_way.pop(keep, None) is None:
            return
        if self._waiting and len(self._under_way) <= MOST_UNDER_WAY // 2:
            self.due.set()
        if keep.position_wanted:
            self._answer(keep, outcome)
        elif isinstance(outcome, BrokerUnavailableError):
            self._refused(keep, outcome)
        if not self._under_way:
            self._look_idle()

    def _answer(self, keep: Keep, outcome: Kept | BrokerUnavailableError | None) -> None:
        answer = self._answers.pop(keep)
        if answer.done():
            return
        if isinstance(outcome, Kept):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome or BrokerUnavailableError("no position in the answer"))

    def _look_idle(self) -> None:
        if not self._waiting and not self._under_way:
            self.idle.set()

    def give_up(self, seconds: float) -> list[Keep]:
        """Wait no longer for answers to what was sent so many seconds ago; give what that was."""
        sent_before = self._loop.time() - seconds
        overdue = []
        for keep, sent_at in self._under_way.items():  # in the order of their times
            if sent_at > sent_before:
                break
            overdue.append(keep)
        for keep in overdue:
            self.answered(keep, BrokerUnavailableError("no answer in time") if keep.position_wanted else None)
        return overdue

    def cut(self) -> list[Keep]:
        """Leave the link, as it has ended; give what was on its way. What waits goes on waiting."""
        unproved = list(self._under_way)
        for keep in unproved:
            self.answered(keep, BrokerUnavailableError("not connected") if keep.position_wanted else None)
        return unproved

    def close(self) -> tuple[int, int]:
        """Answer everything: nothing will be sent any more.

        Returns:
            How many publications waited of which nobody is told by their answer, and how many were on their
            way.
        """
        waited = sum(not keep.lost and not keep.position_wanted for keep in self._waiting)
        under_way = sum(not keep.lost for keep in self._under_way)
        self._waiting.clear()
        self._marked.clear()
        self._under_way.clear()
        self._bytes = 0
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(BrokerUnavailableError("stopped"))
        self._answers.clear()
        self.idle.set()
        return waited, under_way
