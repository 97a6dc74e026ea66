"""The end of a connection: who begins it, with which code, and by when it is over.

| state   | a message   | their close        | our close      | a failure of ours or theirs | TCP gone      |
| ------- | ----------- | ------------------ | -------------- | --------------------------- | ------------- |
| OPEN    | handler     | answered: CLOSED   | sent: CLOSING  | close frame sent: CLOSED    | CLOSED (1006) |
| CLOSING | ignored     | CLOSED             | nothing        | CLOSED                      | CLOSED (1006) |
| CLOSED  | ignored     | ignored            | nothing        | nothing                     | nothing       |

The handlers' close event is raised by the step into CLOSED, which is made once.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models import Overflow
from gateway.core.ends import GATEWAY
from gateway.core.established_connection import State
from gateway.core.ping_connection import PingConnection
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.encoding import encode_close

if TYPE_CHECKING:
    from collections import deque

    from gateway.protocol.events import Event

__all__ = ["EndingConnection"]

_LINGER_SECONDS: Final = 1.0


class EndingConnection(PingConnection):
    """A connection that ends as RFC 6455 section 7 says.

    Its arguments are those of `Connection`.
    """

    __slots__ = ("_backlog",)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._backlog: deque[Event] | None = None
        """What came while an event waited, in order; `None` for nothing."""

    @abstractmethod
    def _watch_no_message(self) -> None:
        """Let go the deadline of a message that has begun, if there is one."""

    def begin_close(self, code: int, reason: str, *, by: str = GATEWAY) -> None:
        """Send a close frame and await the peer's.

        Args:
            code: The close code.
            reason: The close reason.
            by: Who closes.
        """
        if self._state is State.OPEN:
            self.node.ends.begin(self, by, code, reason)
            self._step_into_closing(code, reason)
            self._await_end(self._route.limits.close_timeout_seconds)

    def _step_into_closing(self, code: int, reason: str) -> None:
        self.enqueue_close(encode_close(code, reason))
        self._state = State.CLOSING
        self._leave_hub()
        backlog = self._backlog
        if backlog:
            kept = [event for event in backlog if type(event) is not str and type(event) is not bytes]
            backlog.clear()
            backlog += kept

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 section 7.1.7): say why, then end TCP whatever the peer does."""
        if self._state is State.OPEN:
            self.enqueue_close(encode_close(code, reason))
        if self._backlog:
            self._backlog.clear()
        if self._finish(code, reason, GATEWAY):
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

    def refuse_rate(self) -> None:
        """End the connection with 1008: its messages come too fast."""
        self.fail(CloseCode.POLICY_VIOLATION, "messages come too fast")

    def _finish(self, code: int, reason: str, by: str) -> bool:
        """Step into CLOSED; tell whether this call made the step."""
        if self._state is State.CLOSED:
            return False
        was_open = self._state is State.OPEN
        self._state = State.CLOSED
        if was_open:
            self._leave_hub()
        node = self.node
        node.metrics.closes[code] += 1
        node.ends.begin(self, by, code, reason)
        self.await_no_pong()
        self._watch_no_message()
        if self._owned is not None:
            self._owned.close()
            self._end_tasks(self._owned)
        waits = self._task is not None or bool(self._backlog)
        if waits or self._route.close_events:
            self._close_event = (code, reason, 0)
        if not waits:
            self._raise_close_event()
        return True

    def _leave_hub(self) -> None:
        """Be open no more: get no publications and no pings."""
        self.node.closing.setdefault(self)
        self.node.hub.remove(self)
        self._route.connections -= 1
        self.stop_pings()
        if self.identity is not None and self.identity.expires_at is not None:
            self.node.expiries.forget_one()

    def _await_end(self, seconds: float) -> None:
        """Give TCP a deadline to end; one that comes sooner stays as it is."""
        closing = self.node.closing
        former = closing.get(self)
        if former is not None:
            if former.left(self) <= seconds:
                return
            former.end(self)
        deadlines = closing[self] = self.node.deadlines(seconds, EndingConnection.abort)
        deadlines.begin(self)

    def _overflowed(self, overflow: Overflow, frames: int) -> None:
        self.node.metrics.overflows[overflow.value] += 1
        self.node.metrics.limits["send_queue_bytes"] += 1
        self.node.metrics.messages_dropped += frames
        if overflow is Overflow.DISCONNECT and self._state is State.OPEN:
            self.discard_queue()
            code, reason = CloseCode.TRY_AGAIN_LATER, "the send queue is full"
            self.node.ends.begin(self, GATEWAY, code, reason)
            # From here on nothing is sent: it would come after a gap, and another code would hide that.
            self._step_into_closing(code, reason)
            # Not at once: this may be the middle of a broadcast, and the close event runs handlers.
            self.node.loop.call_soon(self.fail, code, reason)

    def abort(self) -> None:
        """End TCP at once."""
        self._transport.abort()
