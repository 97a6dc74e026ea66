"""The bounded send queue of a connection."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models import Overflow
from gateway.core.shared_frames import EAGER_BYTES, SharedFrames
from gateway.observe.tallies import ONE_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway.broker.contract import Publication
    from gateway.core.node import Node
    from gateway.core.route import Route

__all__ = ["SendQueue"]

_CONTROL_BIT: Final = 0x08


class _Slow:
    """What a connection needs only while its peer reads slowly."""

    __slots__ = ("latest", "remainder", "waiters")

    def __init__(self) -> None:
        self.remainder: memoryview | None = None
        """The rest of what was joined and only partly written: it goes before the queue."""
        self.latest: dict[tuple[str, str | None], bytes] = {}
        """By group and key, the newest publications under `conflate`: they go behind the queue."""
        self.waiters: list[asyncio.Future[None]] = []
        """Who awaits that the peer reads again."""


class SendQueue(ABC):
    """Encoded frames of one connection that are not yet written, in order.

    `limit` bounds the bytes in here and in the transport together. A frame that meets an empty queue and
    a transport that takes more is always accepted, whatever its size. Awaiting the object waits until the
    transport takes more, and at least for one turn of the loop.

    Args:
        transport: Where it is written.
        node: Its flusher writes the queue at the end of the turn.
        route: Says how many bytes are kept for a peer that reads slowly, and what happens at that limit.
    """

    __slots__ = (
        "_no_messages",
        "_queue",
        "_queued_bytes",
        "_relief_bytes",
        "_route",
        "_sent",
        "_slow",
        "_transport",
        "_write_paused",
        "node",
    )

    number: int
    """Unique on this node."""

    def __init__(self, transport: asyncio.Transport, node: Node, route: Route) -> None:
        self._transport = transport
        self.node = node
        """The node that the connection lives on."""
        self._route = route
        self._relief_bytes = self._usual_relief_bytes()  # past it, adding a frame calls `relieve`
        self._queue: list[bytes] | None = None  # an empty list would cost an idle connection 56 bytes
        self._queued_bytes = 0
        self._no_messages = 0  # how many frames of the queue are control frames, or the answer 101
        self._write_paused = False
        self._slow: _Slow | None = None
        self._sent = 0  # messages and bytes in one number: see `Tally`

    def _usual_relief_bytes(self) -> int:
        return min(EAGER_BYTES, self._route.limits.send_queue_bytes)

    @property
    def queued_bytes(self) -> int:
        """Bytes on their way to the peer that the kernel has not taken yet."""
        slow = self._slow
        rest = len(slow.remainder) if slow is not None and slow.remainder is not None else 0
        shared = self._queue.size if isinstance(self._queue, SharedFrames) else 0
        return self._queued_bytes + shared + rest + self._transport.get_write_buffer_size()

    def enqueue(self, frame: bytes) -> None:
        """Add a control frame; it is written at the end of this turn of the loop, if the peer reads.

        `Connection.send` and `Hub.broadcast` add messages on their own, without this call.
        """
        queue = self._queue
        if queue is None:
            self._queue = [frame]
            self.node.flusher.add(self)
        else:
            if type(queue) is not list:
                queue = self.own_queue()
            queue.append(frame)
        self._queued_bytes += len(frame)
        self._no_messages += 1

    def count_mixed(self, frames: int, size: int) -> None:
        """Count frames that are written, some of which are no messages."""
        messages = frames - self._no_messages
        self._no_messages = 0
        if messages:
            self._sent += messages * ONE_MESSAGE + size

    def own_queue(self) -> list[bytes]:
        """Take a copy of the frames that are shared with other members of a group, and give it."""
        shared = self._queue
        assert isinstance(shared, SharedFrames)  # noqa: S101 - asked by who calls
        queue = list(shared)
        self._queue = queue or None
        self._queued_bytes = shared.size
        shared.others.append(self)
        return queue

    def enqueue_close(self, frame: bytes) -> None:
        """Add our close frame, behind everything that is kept: nothing may follow it."""
        self._line_up()
        self.enqueue(frame)

    def relieve(self, overflow: Overflow | None = None, publication: Publication | None = None) -> None:
        """Write now what has piled up, or apply the overflow policy to what cannot be written.

        Args:
            overflow: A group's policy, which goes before the connection's own; `None` for none.
            publication: What the newest frame carries; `None` if it was sent to this connection alone.
        """
        if not self._write_paused:
            self.flush()
        slow = self._slow
        if self._queue is None:
            return
        limit = self._route.limits.send_queue_bytes
        if self.queued_bytes > limit or (slow is not None and slow.latest):
            self._apply_overflow(overflow or self._route.config.overflow, publication)
            if not self._queue:
                self._clear()

    def flush(self) -> None:
        """Write everything, unless the transport asks for a pause."""
        slow = self._slow
        if slow is not None and slow.remainder is not None and not self._write_paused:
            self._write_in_slices(slow.remainder)
        queue = self._queue
        if queue is None or self._write_paused:
            return
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        metrics = self.node.flusher.metrics
        metrics.bytes_out += len(data)
        messages = len(queue) - self._no_messages
        if messages:
            metrics.messages_out += messages
            self._sent += messages * ONE_MESSAGE + len(data)
        self._clear()
        if len(data) > EAGER_BYTES and self.node.flusher.secure:
            self._write_in_slices(memoryview(data))
        else:
            self._transport.write(data)

    def _write_in_slices(self, data: memoryview) -> None:
        """Write as much as the transport takes, and keep the rest.

        A TLS transport hands what it encrypts on to TCP's and forgets it: one write of 20 MB never asks
        for a pause. After a slice it does, so that what it hides stays below two of them.
        """
        while data and not self._write_paused:
            self._transport.write(data[:EAGER_BYTES])
            data = data[EAGER_BYTES:]
        if data or self._slow is not None:
            self._slowness().remainder = data or None

    def _slowness(self) -> _Slow:
        slow = self._slow
        if slow is None:
            slow = self._slow = _Slow()
        return slow

    def discard_queue(self) -> None:
        """Drop every frame that is not written, but for the rest of one that is written in part."""
        self._clear()
        if self._slow is not None:
            self._slow.latest.clear()

    def _clear(self) -> None:
        if isinstance(self._queue, SharedFrames):
            self._queue.others.append(self)
        self._queue = None
        self._queued_bytes = 0
        self._no_messages = 0

    def pause_writing(self) -> None:
        """Keep frames from now on: the transport's buffer is over its high-water mark."""
        self._write_paused = True
        self.node.flusher.paused.add(self)

    def resume_writing(self) -> None:
        """Write what was kept: the transport's buffer has drained."""
        self._write_paused = False
        self.node.flusher.paused.discard(self)
        self.flush()
        slow = self._slow
        if slow is None or self._write_paused:
            return
        if slow.latest:
            self._line_up()
            self.flush()
        if not self._write_paused:
            self.release_waiters()

    def _line_up(self) -> None:
        """Put what `conflate` has kept into the queue; nothing newer replaces it from here on."""
        slow = self._slow
        if slow is None or not slow.latest:
            return
        latest = list(slow.latest.values())
        slow.latest.clear()
        self._relief_bytes = self._usual_relief_bytes()
        if self._queue is None:
            self._queue = latest
            self.node.flusher.add(self)
        else:
            queue = self.own_queue() if isinstance(self._queue, SharedFrames) else self._queue
            queue += latest
        self._queued_bytes += sum(map(len, latest))

    def release_waiters(self) -> None:
        """Let those go on who await that the peer reads again; also when it never will."""
        slow = self._slow
        if slow is None:
            return
        for waiter in slow.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._slow = None if slow.remainder is None and not slow.latest else slow
        slow.waiters.clear()

    def __await__(self) -> Generator[Any, None, None]:
        return self._drained().__await__()

    async def _drained(self) -> None:
        # Even a peer that reads fast has to leave the loop to others.
        await asyncio.sleep(0)
        self.flush()
        while self._write_paused and not self._transport.is_closing():
            waiter = self.node.flusher.loop.create_future()
            self._slowness().waiters.append(waiter)
            await waiter

    def _apply_overflow(self, overflow: Overflow, publication: Publication | None) -> None:
        queue = self._queue
        assert queue  # noqa: S101 - the frame that does not fit is in there
        dropped = 0
        if overflow is Overflow.DROP_OLDEST:
            dropped = self._drop_oldest(queue)
        elif overflow is Overflow.DROP_NEWEST:
            dropped = 1
            self._queued_bytes -= len(queue.pop())
        elif overflow is Overflow.CONFLATE and publication is not None:
            frame = queue.pop()
            self._queued_bytes -= len(frame)
            latest = self._slowness().latest
            key = (publication.group, publication.key)
            dropped = int(latest.pop(key, None) is not None)
            latest[key] = frame
            # From here on each frame has to come this way: a shorter one must not overtake this one.
            self._relief_bytes = -1
        else:
            overflow = Overflow.DISCONNECT
            dropped = len(queue)
        if dropped:
            self._overflowed(overflow, dropped)

    def _drop_oldest(self, queue: list[bytes]) -> int:
        """Drop messages from the queue's head until the rest fits; give how many."""
        excess = self.queued_bytes - self._route.limits.send_queue_bytes
        kept: list[bytes] = []
        passed = 0
        for frame in queue:
            if excess <= 0:
                break
            passed += 1
            if frame[0] & _CONTROL_BIT:
                kept.append(frame)  # a control frame is never dropped: the peer waits for it
            else:
                excess -= len(frame)
                self._queued_bytes -= len(frame)
        queue[:passed] = kept
        return passed - len(kept)

    @abstractmethod
    def _overflowed(self, overflow: Overflow, frames: int) -> None:
        """Called when the policy has dropped `frames`, or, with `disconnect`, is to end the connection."""
