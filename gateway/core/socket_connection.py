"""A connection with its socket: what asyncio calls, and the order of a connection's events and its end.

| state   | a message   | their close        | our close      | a failure of ours or theirs | TCP gone      |
| ------- | ----------- | ------------------ | -------------- | --------------------------- | ------------- |
| OPEN    | handler     | answered: CLOSED   | sent: CLOSING  | close frame sent: CLOSED    | CLOSED (1006) |
| CLOSING | ignored     | CLOSED             | nothing        | CLOSED                      | CLOSED (1006) |
| CLOSED  | ignored     | ignored            | nothing        | nothing                     | nothing       |

The handlers' close event is raised by the step into CLOSED, which is made once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models import Overflow
from gateway.core.connection import Connection, State
from gateway.core.stepping import as_coroutine
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.encoding import encode_close, encode_ping, encode_pong
from gateway.protocol.events import CloseReceived, PingReceived, PongReceived, Violation
from gateway.protocol.frames import FrameReader

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from gateway.protocol.events import Event

__all__ = ["SocketConnection"]

_BATCH: Final = 64  # most events parsed at once; bounds what a read of tiny frames turns into
_LINGER_SECONDS: Final = 1.0
# Looked up by name in a module: a member of an enumeration costs 60 ns more in Python 3.11.
_OPEN: Final = State.OPEN
_CLOSED: Final = State.CLOSED


class SocketConnection(Connection, asyncio.Protocol):
    """A connection and the asyncio protocol of its socket, in one object to save memory.

    Its arguments are those of `Connection`.
    """

    __slots__ = (
        "_backlog",
        "_close_event",
        "_coroutine",
        "_event_expired",
        "_on_message",
        "_ping_sent_at",
        "_pings",
        "_pings_since",
        "_pong",
        "_reader",
        "_task",
        "_watched",
    )

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        limits = self._route.limits
        self._reader = FrameReader(limits.max_message_bytes, limits.max_fragments)
        self._on_message = self._route.message_event
        self._backlog: deque[Event] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._close_event: tuple[int, str, int] | None = None
        self._event_expired = False
        self._pong: bytes | None = None
        self._pings = 0
        self._pings_since = 0.0
        self._ping_sent_at: float | None = None
        self._watched = 0

    # Life: from the opening handshake on.

    def open(self) -> None:
        """Begin: join the route's groups and raise the open event."""
        node = self.node
        node.hub.add(self)
        for group in self._route.groups(self.params, self.identity):
            node.hub.join(self, group)
        if self._route.limits.ping_interval_seconds:
            node.deadlines(self._route.limits.ping_interval_seconds, SocketConnection._ping).begin(self)
        self._run(self._route.open_event, self)

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self.node.metrics.bytes_in += len(data)
        if self._state is _CLOSED:
            # Whatever a peer still says after a failure is thrown away. Where its end cannot be awaited
            # (TLS has no half-close), its first answer is taken for it.
            if not self._transport.can_write_eof():
                self._transport.close()
            return
        if self._task is None:
            self._consume(data)
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """Let the transport close: half-open WebSockets are of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that TCP is gone."""
        del exc
        self._finish(CloseCode.ABNORMAL_CLOSURE, "")
        self.discard_queue()
        self.node.forget_socket(self)
        limits = self._route.limits
        self.node.deadlines(limits.close_timeout_seconds, SocketConnection.abort).end(self)
        self.node.deadlines(_LINGER_SECONDS, SocketConnection.abort).end(self)

    # Incoming frames.

    def _consume(self, data: bytes) -> None:
        """Read frames and raise their events, until a handler waits."""
        reader = self._reader
        metrics = self.node.metrics
        on_message = self._on_message
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
                    except Exception as exc:  # noqa: BLE001 - a plugin's code: it ends this connection only
                        self.handler_failed(exc)
                        continue
                    if result is not None and self._waits_for(result):
                        metrics.messages_in += count
                        self._put_back(pending)
                        return
                else:
                    self._take_control(event)
            if not reader.has_more:
                break
            data = b""
        metrics.messages_in += count
        if reader.unfinished != self._watched:
            self._watch_unfinished()

    def _keep(self, data: bytes) -> None:
        """Keep messages while a handler waits; past the backlog the socket is not read."""
        self._put_back(self._reader.feed(data, max(self._room(), 0)))

    def _room(self) -> int:
        backlog = self._backlog
        return self._route.limits.receive_backlog - (len(backlog) if backlog is not None else 0)

    def _put_back(self, events: Iterable[Event]) -> None:
        """Queue events behind the one that waits; pings and pongs overtake them (RFC 6455 section 5.4)."""
        for event in events:
            if type(event) is PingReceived or type(event) is PongReceived:
                self._take_control(event)
            else:
                if self._backlog is None:
                    self._backlog = deque()
                self._backlog.append(event)
        if self._room() <= 0 or self._reader.has_more:
            with suppress(RuntimeError):  # uvloop: the transport is closing
                self._transport.pause_reading()

    def _take_control(self, event: Event) -> None:
        if type(event) is PingReceived:
            self._take_ping(event.payload)
        elif type(event) is PongReceived:
            self._take_pong()
        elif type(event) is CloseReceived:
            self._take_close(event)
        elif type(event) is Violation:
            self.fail(event.code, event.reason)

    def _take_ping(self, payload: bytes) -> None:
        now = self.node.loop.time()
        if now - self._pings_since >= 1:
            self._pings_since = now
            self._pings = 0
        self._pings += 1
        limit = self._route.limits.max_pings_per_second
        if self._pings > limit:
            self.fail(CloseCode.POLICY_VIOLATION, f"too many pings a second, limit {limit}")
        elif self._state is State.OPEN:
            if self._write_paused:
                self._pong = payload  # the newest one answers for those before it (RFC 6455 section 5.5.3)
            else:
                self.enqueue(encode_pong(payload))

    def resume_writing(self) -> None:
        """Write what was kept, and the pong that stands for all pings since."""
        if self._pong is not None and self._state is State.OPEN:
            self.enqueue(encode_pong(self._pong))
        self._pong = None
        super().resume_writing()

    def _take_pong(self) -> None:
        if self._ping_sent_at is not None:
            self.round_trip_seconds = time.monotonic() - self._ping_sent_at
            self._ping_sent_at = None
            timeout = self._route.limits.pong_timeout_seconds
            self.node.deadlines(timeout, SocketConnection._pong_missing).end(self)

    def _take_close(self, event: CloseReceived) -> None:
        if self._state is State.OPEN:
            self.enqueue(encode_close(None if event.code == CloseCode.NO_STATUS_RCVD else event.code))
        self._finish(event.code, event.reason)
        self.flush()
        self._transport.close()
        self._await_end(self._route.limits.close_timeout_seconds)

    def _watch_unfinished(self) -> None:
        """Give a message that has begun a deadline for its end."""
        timeout = self._route.limits.message_timeout_seconds
        deadlines = self.node.deadlines(timeout, SocketConnection._message_late)
        self._watched = self._reader.unfinished
        if self._watched:
            deadlines.begin(self)
        else:
            deadlines.end(self)

    # Handlers that wait.

    def _run(self, event: Any, *arguments: Any) -> None:
        try:
            result = event(*arguments)
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it ends this connection only
            self.handler_failed(exc)
            return
        if result is not None:
            self._waits_for(result)

    def _waits_for(self, result: Any) -> bool:
        """Start what an `async` event returned; tell whether it waits."""
        if not isawaitable(result):
            return False
        coroutine = as_coroutine(result)
        try:
            task = self.node.stepper.start(coroutine)
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it ends this connection only
            self.handler_failed(exc)
            return False
        if task is None:
            return False
        self._task = task
        self._coroutine = coroutine
        self.node.event_tasks.add(task)
        self._handler_deadlines().begin(self)
        task.add_done_callback(self._event_ended)
        return True

    def _handler_deadlines(self) -> Any:
        return self.node.deadlines(self._route.limits.handler_timeout_seconds, SocketConnection._event_late)

    def _event_ended(self, task: asyncio.Task[Any]) -> None:
        self._task = None
        self._coroutine = None
        self.node.event_tasks.discard(task)
        self._handler_deadlines().end(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.handler_failed(error)
        elif task.cancelled() and not self._event_expired:
            self.fail(CloseCode.INTERNAL_ERROR, "handler was cancelled")
        self._event_expired = False
        self._go_on()

    def _go_on(self) -> None:
        """Raise the events that were kept, until a handler waits again."""
        backlog = self._backlog
        while backlog:
            event = backlog.popleft()
            if type(event) is str or type(event) is bytes:
                if self._state is State.OPEN or self._close_event is not None:
                    self.node.metrics.messages_in += 1
                    self._run(self._on_message, self, event)
            else:
                self._take_control(event)
            if self._task is not None:
                return
        self._backlog = None
        if self._close_event is not None:
            self._raise_close_event()
        elif self._state is not State.CLOSED:
            if self._reader.has_more:
                self._consume(b"")
            if self._task is None:
                with suppress(RuntimeError):
                    self._transport.resume_reading()

    # The end.

    def begin_close(self, code: int, reason: str) -> None:
        """Send a close frame and await the peer's."""
        if self._state is State.OPEN:
            self.enqueue(encode_close(code, reason))
            self._state = State.CLOSING
            self.node.hub.remove(self)
            self._await_end(self._route.limits.close_timeout_seconds)

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 section 7.1.7): say why, then end TCP whatever the peer does."""
        if self._state is State.OPEN:
            self.enqueue(encode_close(code, reason))
        if self._backlog:
            self._backlog.clear()
        if self._finish(code, reason):
            self.flush()
            # TCP is not closed at once: unread bytes would turn that into a reset, which could overtake
            # the close frame. The peer sees the end of ours, and has a moment to end its own.
            if not self._write_paused and self._transport.can_write_eof():
                with suppress(OSError, RuntimeError):
                    self._transport.write_eof()
            with suppress(RuntimeError):
                self._transport.resume_reading()
            self._await_end(_LINGER_SECONDS)

    def refuse_type(self) -> None:
        """End the connection with 1003: its route does not take this type of message."""
        self.fail(CloseCode.UNSUPPORTED_DATA, "this route does not take messages of this type")

    def handler_failed(self, error: BaseException) -> None:
        """End the connection with 1011 and log what a handler raised."""
        self.node.metrics.handler_errors += 1
        handler, place = self._route.dispatch.culprit(error)
        self.node.log.error(
            "handler_failed",
            connection=self.id,
            route=self.route,
            handler=handler,
            where=place,
            exc_info=error,
        )
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")

    def _finish(self, code: int, reason: str) -> bool:
        """Step into CLOSED; tell whether this call made the step."""
        if self._state is State.CLOSED:
            return False
        self._state = State.CLOSED
        node = self.node
        limits = self._route.limits
        node.hub.remove(self)
        node.metrics.closes[code] += 1
        node.deadlines(limits.ping_interval_seconds, SocketConnection._ping).end(self)
        node.deadlines(limits.pong_timeout_seconds, SocketConnection._pong_missing).end(self)
        node.deadlines(limits.message_timeout_seconds, SocketConnection._message_late).end(self)
        if self._owned is not None:
            self._owned.close()
        self._close_event = (code, reason, 0)
        if self._task is None and not self._backlog:
            self._raise_close_event()
        return True

    def _raise_close_event(self) -> None:
        """Raise the close event with one handler after the other, whatever each makes of it."""
        events = self._route.close_events
        while self._close_event is not None and self._task is None:
            code, reason, index = self._close_event
            if index == len(events):
                self._close_event = None
                return
            self._close_event = (code, reason, index + 1)
            self._run(events[index], self, code, reason)

    def _await_end(self, seconds: float) -> None:
        """Give TCP a deadline to end."""
        self.node.deadlines(seconds, SocketConnection.abort).begin(self)

    def _overflowed(self, overflow: Overflow, frames: int) -> None:
        self.node.metrics.overflows[overflow.value] += 1
        self.node.metrics.messages_dropped += frames
        if overflow is Overflow.DISCONNECT and self._state is State.OPEN:
            self.discard_queue()
            self.fail(CloseCode.TRY_AGAIN_LATER, "the send queue is full")

    # What the deadlines call.

    def abort(self) -> None:
        """End TCP at once."""
        self._transport.abort()

    def _ping(self) -> None:
        limits = self._route.limits
        if self._state is State.OPEN:
            self.node.deadlines(limits.ping_interval_seconds, SocketConnection._ping).begin(self)
            if self._ping_sent_at is None:
                # uvloop's own clock stands still within a turn, and counts milliseconds.
                self._ping_sent_at = time.monotonic()
                self.enqueue(encode_ping(b""))
                self.node.deadlines(limits.pong_timeout_seconds, SocketConnection._pong_missing).begin(self)

    def _pong_missing(self) -> None:
        self.fail(CloseCode.INTERNAL_ERROR, "no pong in time")

    def _message_late(self) -> None:
        self.fail(CloseCode.POLICY_VIOLATION, "message was not finished in time")

    def _event_late(self) -> None:
        if self._task is None:
            return
        self._event_expired = True
        self.node.metrics.handler_timeouts += 1
        handler, place = "", "unknown"
        if self._coroutine is not None:
            handler, place = self._route.dispatch.waiting(self._coroutine)
        self.node.log.error(
            "handler_timeout",
            connection=self.id,
            route=self.route,
            handler=handler,
            where=place,
            seconds=self._route.limits.handler_timeout_seconds,
        )
        self._task.cancel()
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")
