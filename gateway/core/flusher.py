"""The flush of all send queues, once per turn of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.shared_frames import EAGER_BYTES, SharedFrames
from gateway.observe.tallies import ONE_MESSAGE

if TYPE_CHECKING:
    import asyncio

    from gateway.core.groups import Group
    from gateway.core.send_queue import SendQueue
    from gateway.observe.metrics import Metrics

__all__ = ["Flusher"]


class Flusher:
    """The send queues with something in them, written together at the end of the turn.

    One callback a turn for all of them: a `call_soon` each costs 0.35 µs a connection, a list entry 0.03.
    """

    __slots__ = ("_pending", "_sharing", "loop", "metrics", "paused", "secure")

    def __init__(self, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
        self.loop = loop
        self.metrics = metrics
        self.secure = False
        """Whether the transports are TLS ones, which say nothing of what they keep."""
        self.paused: set[SendQueue] = set()
        """Those whose transport takes no more now."""
        self._pending: list[SendQueue] = []
        self._sharing: list[Group] = []

    def add(self, queue: SendQueue) -> None:
        """Have a queue flushed at the end of this turn."""
        if not self._pending:
            self.loop.call_soon(self._flush_all)
        self._pending.append(queue)

    def share(self, group: Group) -> SharedFrames:
        """Begin a queue for the members of a group that have none; it lasts until the end of this turn."""
        if not self._pending:
            self.loop.call_soon(self._flush_all)
        self._sharing.append(group)
        shared = group.shared = SharedFrames()
        take = self._pending.append
        set_aside = shared.others.append
        for member in group.present():
            if (
                member._queue is None  # noqa: SLF001 - the inner loop of a fan-out
                and not member._write_paused  # noqa: SLF001
                and member._relief_bytes == EAGER_BYTES  # noqa: SLF001
            ):
                member._queue = shared  # noqa: SLF001
                take(member)
            else:
                set_aside(member)
        return shared

    def _flush_all(self) -> None:
        for group in self._sharing:
            group.shared = None
        self._sharing.clear()
        pending = self._pending
        self._pending = []
        last_frames: list[bytes] = []
        last_data = b""
        written = 0
        messages = 0
        counted = 0  # as `Tally` has it
        for connection in pending:
            frames = connection._queue  # noqa: SLF001 - the inner loop of a fan-out
            if frames is None:
                continue
            if connection._write_paused:  # noqa: SLF001
                if type(frames) is not list:
                    connection.own_queue()
                continue
            if connection._queued_bytes > EAGER_BYTES:  # noqa: SLF001
                connection.flush()
                continue
            if frames is last_frames:
                data = last_data
            elif len(frames) == 1:
                data = last_data = frames[0]
                last_frames = frames
                counted = ONE_MESSAGE + len(data)
            elif frames == last_frames:
                # Members of one group mostly have the same frames waiting: comparing sixteen of them,
                # the same objects, costs 0.1 µs, joining them 0.4.
                data = last_data
            else:
                data = last_data = b"".join(frames)
                last_frames = frames
                counted = len(frames) * ONE_MESSAGE + len(data)
            connection._queue = None  # noqa: SLF001
            connection._queued_bytes = 0  # noqa: SLF001
            messages += len(frames)
            written += len(data)
            if not connection._no_messages:  # noqa: SLF001
                connection._sent += counted  # noqa: SLF001
            else:
                messages -= connection._no_messages  # noqa: SLF001
                connection.count_mixed(len(frames), len(data))
            connection._transport.write(data)  # noqa: SLF001
        self.metrics.bytes_out += written
        self.metrics.messages_out += messages
