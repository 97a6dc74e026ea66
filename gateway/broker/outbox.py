"""What a node has to send to other nodes, and has not sent yet."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.broker.wire import BEAT, LOSS

if TYPE_CHECKING:
    from gateway.broker.channels import Channels
    from gateway.broker.wire import Wire

__all__ = ["Batch", "Outbox"]

BATCH_BYTES: Final = 65_536
"""Bytes up to which publications travel in one message: a receiver works through it in one go."""

_NOTICE_BYTES: Final = 1_048_576
"""Most bytes of notices that wait."""


class _Entry:
    """One message to be.

    Args:
        channel: Where it goes.
        packed: Publications of one group; `None` for a notice.
        notice: The packed notice; `None` for one that tells of a loss.
        size: Bytes that it takes, about.
    """

    __slots__ = ("channel", "notice", "packed", "size")

    def __init__(self, channel: str, packed: list[bytes] | None, notice: bytes | None, size: int) -> None:
        self.channel = channel
        self.packed = packed
        self.notice = notice
        self.size = size

    @property
    def tells_of_loss(self) -> bool:
        return self.packed is None and self.notice is None


@dataclass(slots=True)
class Batch:
    """What is sent in one go.

    Args:
        messages: Channel and content of each, in order.
        publications: How many publications they hold.
    """

    messages: list[tuple[str, bytes]]
    publications: int


class Outbox:
    """The bounded queue of what goes to other nodes, in the order of the calls.

    Publications to one group that follow each other share a message. Where some had to be thrown away, a
    notice takes their place, so that other nodes learn of it.

    Args:
        wire: Writes the messages.
        channels: The names of channels.
        most_bytes: Most bytes of publications that wait.
    """

    def __init__(self, wire: Wire, channels: Channels, most_bytes: int) -> None:
        self._wire = wire
        self._notices = channels.notices
        self._most_bytes = most_bytes
        self._entries: deque[_Entry] = deque()
        self._bytes = 0
        self._notice_bytes = 0
        self.batch_bytes = BATCH_BYTES
        """Most bytes of packed publications that share a message."""
        self._number = 0
        self._previous = 0
        self._owed = 0  # up to this number whoever gets the next link's notices must have had them
        self.filled = asyncio.Event()
        """Set while something waits. Others may set it to have the sender look."""

    def __bool__(self) -> bool:
        return bool(self._entries)

    def has_room(self, size: int) -> bool:
        """Tell whether a packed publication of this size would be taken."""
        return self._bytes + size <= self._most_bytes

    def has_room_for_notice(self, size: int) -> bool:
        """Tell whether a notice of this size would be taken."""
        return self._notice_bytes + size <= _NOTICE_BYTES

    def add(self, channel: str, packed: bytes) -> bool:
        """Add a packed publication; tell whether there was room, and if not, note the loss in its place."""
        size = len(packed)
        if not self.has_room(size):
            self.note_loss()
            return False
        last = self._entries[-1] if self._entries else None
        if (
            last is not None
            and last.channel == channel
            and last.packed is not None
            and last.size + size <= self.batch_bytes
        ):
            last.packed.append(packed)
            last.size += size
        else:
            self._entries.append(_Entry(channel, [packed], None, size))
        self._bytes += size
        self.filled.set()
        return True

    def add_notice(self, notice: bytes) -> None:
        """Add a packed notice, for which there must be room. It stays until it is sent."""
        self._notice_bytes += len(notice)
        self._entries.append(_Entry(self._notices, None, notice, len(notice)))
        self.filled.set()

    def note_loss(self) -> None:
        """Have other nodes told that publications were lost here; once, however many follow each other."""
        if not (self._entries and self._entries[-1].tells_of_loss):
            self._entries.append(_Entry(self._notices, None, None, 0))
            self.filled.set()

    def cut(self) -> int:
        """Throw away all publications, as the connection has ended; give how many. Notices stay."""
        lost = sum(len(entry.packed) for entry in self._entries if entry.packed is not None)
        losses = lost or any(entry.tells_of_loss for entry in self._entries)
        self._entries = deque(entry for entry in self._entries if entry.notice is not None)
        self._bytes = 0
        if losses:
            self.note_loss()
        return lost

    def take(self) -> Batch:
        """Take what is to be sent next: all there is, or the first part of much."""
        batch = Batch([], 0)
        taken = 0
        while self._entries and taken < BATCH_BYTES:
            entry = self._entries.popleft()
            taken += entry.size
            if entry.packed is not None:
                self._bytes -= entry.size
                batch.publications += len(entry.packed)
                batch.messages.append((entry.channel, self._wire.publications(entry.packed)))
            else:
                self._notice_bytes -= entry.size
                batch.messages.append(self._notice(LOSS if entry.notice is None else entry.notice))
                self._owed = self._number
        return batch

    def _notice(self, packed: bytes) -> tuple[str, bytes]:
        self._number += 1
        previous, self._previous = self._previous, self._number
        return self._notices, self._wire.notice(previous, self._number, packed)

    # What shows to other nodes that nothing is missing: every notice has a number.

    def begin_link(self, number: int) -> None:
        """Go over to another link.

        Whoever lacks a notice that went through the former one sees it by the first that goes through this
        one; but for beats that were on their way at the end, which are no loss.
        """
        self._wire.begin_link(number)
        self._previous = self._owed

    def beat(self) -> tuple[str, bytes]:
        """Make the notice that says nothing but that this node lives, to be sent at once."""
        return self._notice(BEAT)

    @property
    def number(self) -> int:
        """The number of the last notice that was taken to be sent."""
        return self._number

    def prove(self, number: int) -> None:
        """Take notice that the engine has every notice up to a number."""
        self._owed = max(self._owed, number)
