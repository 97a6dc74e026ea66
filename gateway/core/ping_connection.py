"""Pings, both ways: ours, to find out whether the peer is there; the peer's, answered under a limit."""

from __future__ import annotations

import time
from typing import Any

from gateway.core.established_connection import State
from gateway.core.event_connection import EventConnection
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.encoding import encode_ping, encode_pong

__all__ = ["PingConnection"]


class _Pinged:
    """What is kept of the peer's pings."""

    __slots__ = ("count", "pong", "since")

    def __init__(self) -> None:
        self.count = 0
        self.since = 0.0
        """When the second began in which they are counted, by the loop's clock."""
        self.pong: bytes | None = None
        """The pong that waits for the peer to read."""


class PingConnection(EventConnection):
    """A connection that sends and answers pings.

    Its arguments are those of `Connection`.
    """

    __slots__ = ("_ping_sent_at", "_pinged")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._pinged: _Pinged | None = None
        """`None` until the peer's first ping: most peers send none."""
        self._ping_sent_at: float | None = None

    def start_pings(self) -> None:
        """Send the first ping in one interval from now, if the route wants any."""
        interval = self._route.limits.ping_interval_seconds
        if interval:
            self.node.rounds(interval).add(self)

    def stop_pings(self) -> None:
        """Send no more, since the connection ceases to be open."""
        interval = self._route.limits.ping_interval_seconds
        if interval:
            self.node.rounds(interval).forget_one()

    def await_no_pong(self) -> None:
        """Wait for no pong any more."""
        if self._ping_sent_at is not None:
            timeout = self._route.limits.pong_timeout_seconds
            self.node.deadlines(timeout, PingConnection._pong_missing).end(self)

    def ping(self) -> None:
        """Send a ping, unless the pong of the last one is still awaited."""
        if self._ping_sent_at is None:
            # uvloop's own clock stands still within a turn, and counts milliseconds.
            self._ping_sent_at = time.monotonic()
            self.enqueue(encode_ping(b""))
            timeout = self._route.limits.pong_timeout_seconds
            self.node.deadlines(timeout, PingConnection._pong_missing).begin(self)

    def _pong_missing(self) -> None:
        if self._transport.is_reading():
            self.node.metrics.limits["pong_timeout_seconds"] += 1
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
        pinged = self._pinged
        if pinged is None:
            pinged = self._pinged = _Pinged()
        now = self.node.loop.time()
        if now - pinged.since >= 1:
            pinged.since = now
            pinged.count = 0
        pinged.count += 1
        limit = self._route.limits.max_pings_per_second
        if pinged.count > limit:
            self.node.metrics.limits["max_pings_per_second"] += 1
            self.fail(CloseCode.POLICY_VIOLATION, f"too many pings a second, limit {limit}")
        elif self._state is State.OPEN:
            if self._write_paused:
                pinged.pong = payload  # the newest one answers for those before it (RFC 6455 section 5.5.3)
            else:
                self.enqueue(encode_pong(payload))

    def resume_writing(self) -> None:
        """Write what was kept, and the pong that stands for all pings since."""
        pinged = self._pinged
        if pinged is not None and pinged.pong is not None:
            if self._state is State.OPEN:
                self.enqueue(encode_pong(pinged.pong))
            pinged.pong = None
        super().resume_writing()
