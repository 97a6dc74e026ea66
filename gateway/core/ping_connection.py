"""Pings, both ways: ours, to find out whether the peer is there; the peer's, answered under a limit."""

from __future__ import annotations

import time
from typing import Any

from gateway.core.connection import State
from gateway.core.event_connection import EventConnection
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.encoding import encode_ping, encode_pong

__all__ = ["PingConnection"]


class PingConnection(EventConnection):
    """A connection that sends and answers pings.

    Its arguments are those of `Connection`.
    """

    __slots__ = ("_ping_sent_at", "_pings", "_pings_since", "_pong")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._pong: bytes | None = None
        self._pings = 0
        self._pings_since = 0.0
        self._ping_sent_at: float | None = None

    def start_pings(self) -> None:
        """Send the first ping in one interval from now, if the route wants any."""
        interval = self._route.limits.ping_interval_seconds
        if interval:
            self.node.deadlines(interval, PingConnection._ping).begin(self)

    def stop_pings(self) -> None:
        """Send no more, and wait for no pong."""
        limits = self._route.limits
        self.node.deadlines(limits.ping_interval_seconds, PingConnection._ping).end(self)
        self.node.deadlines(limits.pong_timeout_seconds, PingConnection._pong_missing).end(self)

    def _ping(self) -> None:
        limits = self._route.limits
        if self._state is State.OPEN:
            self.node.deadlines(limits.ping_interval_seconds, PingConnection._ping).begin(self)
            if self._ping_sent_at is None:
                # uvloop's own clock stands still within a turn, and counts milliseconds.
                self._ping_sent_at = time.monotonic()
                self.enqueue(encode_ping(b""))
                self.node.deadlines(limits.pong_timeout_seconds, PingConnection._pong_missing).begin(self)

    def _pong_missing(self) -> None:
        if self._transport.is_reading():
            self.fail(CloseCode.INTERNAL_ERROR, "no pong in time")
        else:
            # A handler waits, and the socket is not read: the pong may lie there.
            timeout = self._route.limits.pong_timeout_seconds
            self.node.deadlines(timeout, PingConnection._pong_missing).begin(self)

    def _take_pong(self) -> None:
        if self._ping_sent_at is not None:
            self.round_trip_seconds = time.monotonic() - self._ping_sent_at
            self._ping_sent_at = None
            timeout = self._route.limits.pong_timeout_seconds
            self.node.deadlines(timeout, PingConnection._pong_missing).end(self)

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
