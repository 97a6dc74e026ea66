"""A connection with its socket: what asyncio calls, and the order in which incoming frames become events."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.core.ending_connection import EndingConnection
from gateway.core.ends import CLIENT, NETWORK
from gateway.core.established_connection import State
from gateway.observe.tallies import ONE_MESSAGE
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.encoding import encode_close
from gateway.protocol.events import CloseReceived, PingReceived, PongReceived, Violation
from gateway.protocol.frames import FrameReader, only_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.protocol.compression import Inflater
    from gateway.protocol.events import Event

__all__ = ["RAISING", "SocketConnection"]

_BATCH: Final = 64  # most events parsed at once; bounds what a read of tiny frames turns into
_LONE_PONG: Final = 6  # bytes of the answer to our ping: each idle connection would have a number for them
# By the code with which the reader of frames gives up: others are breaches of the protocol.
_LIMIT_OF: Final = {
    int(CloseCode.MESSAGE_TOO_BIG): "max_message_bytes",
    int(CloseCode.POLICY_VIOLATION): "max_fragments",
}
# Looked up by name in a module: a member of an enumeration costs 60 ns more in Python 3.11.
_OPEN: Final = State.OPEN
_CLOSED: Final = State.CLOSED


class SocketConnection(EndingConnection, asyncio.Protocol):
    """A connection and the asyncio protocol of its socket, in one object to save memory.

    Args:
        inflater: What inflates the client's compressed messages; `None` if there will be none.
        arguments: Those of `Connection`.
    """

    __slots__ = ("_reader",)

    def __init__(self, *, inflater: Inflater | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._reader: FrameReader | None = None if inflater is None else self._make_reader(inflater)
        """`None` while the route's spare one does: it costs 120 bytes, and most connections are idle."""

    # Life: from the opening handshake on.

    def open(self, acceptance: bytes) -> None:
        """Begin: join the route's groups, raise the open event, and send what there is to send.

        Args:
            acceptance: The answer to the opening handshake. It leaves in one write with whatever the open
                event sends, and at once: waiting for the turn's end would cost a turn of its own.
        """
        self._queue = [acceptance]
        self._queued_bytes = len(acceptance)
        self._no_messages = 1
        node = self.node
        node.hub.add(self)
        route = self._route
        route.opened += 1
        route.connections += 1
        for group in self._route.groups(self.params, self.identity):
            node.hub.join(self, group)
        # Before anything is sent: that may end it, and its end takes it off these lists.
        self.start_pings()
        node.expiries.add(self)
        self._greet()
        if self._state is not _CLOSED:
            self._run(self._route.open_event, self)
        self.flush()

    def _greet(self) -> None:
        """Send what comes before anything else; nothing on routes without envelopes."""

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        size = len(data)
        self.node.metrics.bytes_in += size
        if self._state is _CLOSED:
            # Whatever a peer still says after a failure is thrown away. Where its end cannot be awaited
            # (TLS has no half-close), its first answer is taken for it.
            if not self._transport.can_write_eof():
                self._transport.close()
            return
        if self._task is not None:
            self._keep(data)
        elif self._reader is None and (message := only_message(data, self._route.frame_lengths)) is not None:
            self._take_message(message, size)
        else:
            self._consume(data)

    def eof_received(self) -> bool:
        """Let the transport close: half-open WebSockets are of no use."""
        # What is written and not read holds the transport's end up.
        self._await_end(self._route.limits.close_timeout_seconds)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that TCP is gone."""
        del exc
        last = self._backlog[-1] if self._backlog else None
        if type(last) is CloseReceived:  # it came before; only a handler is not ready for it
            self._finish(last.code, last.reason, CLIENT)
        else:
            self._finish(CloseCode.ABNORMAL_CLOSURE, "", NETWORK)
        self.node.flusher.paused.discard(self)
        if self._queue is not None or self._slow is not None:
            self.discard_queue()
            self.release_waiters()
        deadlines = self.node.forget_socket(self)
        if deadlines is not None:
            deadlines.end(self)

    # Incoming frames.

    def _take_message(self, message: str | bytes, size: int) -> None:
        """Raise the event of a message that came alone, in so many bytes."""
        if self._state is _OPEN:
            self.node.metrics.messages_in += 1
            self._received += ONE_MESSAGE + size
            self._run(self._route.message_event, self, message)

    def _consume(self, data: bytes) -> None:
        """Read frames and raise their events, until a handler waits."""
        reader = self._reader or self._take_reader()
        metrics = self.node.metrics
        on_message = self._route.message_event
        size = len(data)
        count = 0
        while True:
            pending = iter(reader.feed(data, _BATCH))
            for event in pending:
                kind = type(event)
                if kind is str or kind is bytes:
                    if self._state is not _OPEN:
                        continue
                    count += 1
                    try:
                        result = on_message(self, event)
                    except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: it ends this connection
                        self.handler_failed(exc)
                        continue
                    if result is not None and self._waits_for(result):
                        metrics.messages_in += count
                        self._received += count * ONE_MESSAGE + size
                        self._put_back(pending)
                        return
                else:
                    self._take_control(event)
            if not reader.has_more:
                break
            data = b""
        if count:
            metrics.messages_in += count
            self._received += count * ONE_MESSAGE + size
        elif size > _LONE_PONG:
            self._received += size
        if reader.unfinished != reader.watched:
            self._watch(reader, reader.unfinished)
        if reader.idle and self.compression is None:
            self._reader = None
            self._route.spare_reader = reader

    def _make_reader(self, inflater: Inflater | None = None) -> FrameReader:
        limits = self._route.limits
        return FrameReader(limits.max_message_bytes, limits.max_fragments, inflater)

    def _take_reader(self) -> FrameReader:
        """Take the route's spare reader for as long as it has something of this connection in it."""
        route = self._route
        reader = self._reader = route.spare_reader or self._make_reader()
        route.spare_reader = None
        return reader

    def _keep(self, data: bytes) -> None:
        """Keep messages while a handler waits; past the backlog the socket is not read."""
        self._received += len(data)
        reader = self._reader or self._take_reader()
        self._put_back(reader.feed(data, max(self._room(), 0)))

    def _room(self) -> int:
        backlog = self._backlog
        return self._route.limits.receive_backlog - (len(backlog) if backlog is not None else 0)

    def _put_back(self, events: Iterable[Event]) -> None:
        """Queue events behind the one that waits; pings and pongs overtake them (RFC 6455 section 5.4)."""
        for event in events:
            kind = type(event)
            if kind is PingReceived or kind is PongReceived:
                self._take_control(event)
            elif self._state is _OPEN:
                if self._backlog is None:
                    self._backlog = deque()
                self._backlog.append(event)
            elif kind is not str and kind is not bytes:
                # No message is handled any more that a close would have to wait for.
                self._take_control(event)
        reader = self._reader or self._take_reader()
        if self._state is not _CLOSED and (self._room() <= 0 or reader.has_more):
            with suppress(RuntimeError):  # uvloop: the transport is closing
                self._transport.pause_reading()
        # While we do not read it is not the peer who is late.
        unfinished = reader.unfinished if self._transport.is_reading() else 0
        if unfinished != reader.watched:
            self._watch(reader, unfinished)
        if reader.idle and self.compression is None:
            self._reader = None
            self._route.spare_reader = reader

    def _take_control(self, event: Event) -> None:
        if type(event) is PingReceived:
            self._take_ping(event.payload)
        elif type(event) is PongReceived:
            self._take_pong()
        elif type(event) is CloseReceived:
            self._take_close(event)
        elif type(event) is Violation:
            limit = _LIMIT_OF.get(event.code)
            if limit is not None:
                self.node.metrics.limits[limit] += 1
            self.fail(event.code, event.reason)

    def _take_close(self, event: CloseReceived) -> None:
        if self._state is State.CLOSED:
            self._transport.close()
            return
        if self._state is State.OPEN:
            self.enqueue_close(encode_close(None if event.code == CloseCode.NO_STATUS_RCVD else event.code))
        self._finish(event.code, event.reason, CLIENT)
        self.flush()
        self._transport.close()
        self._await_end(self._route.limits.close_timeout_seconds)

    def _watch(self, reader: FrameReader, unfinished: int) -> None:
        """Give a message that has begun a deadline for its end.

        Args:
            reader: The connection's reader.
            unfinished: The reader's number for it; 0 if there is none to watch.
        """
        timeout = self._route.limits.message_timeout_seconds
        deadlines = self.node.deadlines(timeout, SocketConnection._message_late)
        reader.watched = unfinished
        if unfinished and self._state is not _CLOSED:
            deadlines.begin(self)
        else:
            deadlines.end(self)

    def _watch_no_message(self) -> None:
        if self._reader is not None and self._reader.watched:
            timeout = self._route.limits.message_timeout_seconds
            self.node.deadlines(timeout, SocketConnection._message_late).end(self)

    def _go_on(self) -> None:
        """Raise the events that were kept, until a handler waits again."""
        backlog = self._backlog
        while backlog:
            event = backlog.popleft()
            if type(event) is str or type(event) is bytes:
                if self._state is State.OPEN or self._close_event is not None:
                    self.node.metrics.messages_in += 1
                    self._received += ONE_MESSAGE
                    self._run(self._route.message_event, self, event)
            else:
                self._take_control(event)
            if self._task is not None:
                return
        self._backlog = None
        if self._close_event is not None:
            self._raise_close_event()
        elif self._state is not State.CLOSED:
            if self._reader is not None and self._reader.has_more:
                self._consume(b"")
            if self._task is None:
                with suppress(RuntimeError):
                    self._transport.resume_reading()
                reader = self._reader
                if reader is not None and reader.unfinished != reader.watched:
                    self._watch(reader, reader.unfinished)

    def _message_late(self) -> None:
        reader = self._reader
        if self._task is not None and reader is not None:
            # While a handler waits it may be us who do not read: the message gets its time anew.
            self._watch(reader, reader.watched)
            return
        self.node.metrics.limits["message_timeout_seconds"] += 1
        self.fail(CloseCode.POLICY_VIOLATION, "message was not finished in time")


RAISING: Final = frozenset(
    method.__code__
    for method in (
        SocketConnection._consume,  # noqa: SLF001
        SocketConnection._raise_close_event,  # noqa: SLF001
        SocketConnection._run,  # noqa: SLF001
        SocketConnection._waits_for,  # noqa: SLF001
    )
)
"""The functions that raise events: on a stack they tell whose event it is."""
