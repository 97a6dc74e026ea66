"""An event loop and a socket of the test's own, so that time and the peer do what a test says."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HIGH_WATER = 1000


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when it is told to."""

    now = 1000.0

    def time(self) -> float:
        """Give the time that was set."""
        return self.now

    def turn(self) -> None:
        """Make one turn."""
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """Make turns until nothing is left to do at this time."""
        for _ in range(500):
            if not self._ready:
                return
            self.turn()
        raise AssertionError("the loop does not come to rest")

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in a turn of the loop, and settle."""
        self.call_soon(function, *arguments)
        self.settle()

    def timers(self) -> list[float]:
        """Give the times at which something is due."""
        return sorted(handle.when() for handle in self._scheduled if not handle.cancelled())


class Transport(asyncio.Transport):
    """A socket to a peer that reads when the test says so; it keeps asyncio's rules, and uvloop's stricter.

    Args:
        loop: What calls the protocol.
        journal: Where the end of TCP is noted.
        half_close: Whether writing can end before reading, as it cannot under TLS.
    """

    def __init__(self, loop: Clock, journal: list[str], *, half_close: bool) -> None:
        super().__init__()
        self.journal = journal
        self.loop = loop
        self.half_close = half_close
        self.protocol: Any = None
        self.wire = b""
        self.buffer = b""
        self.inbound: deque[bytes | None] = deque()
        self.peer_reads, self.reading = True, True
        self.closing = self.lost = self.finished = self.aborted = self.paused = False

    def get_write_buffer_size(self) -> int:
        """Give what the peer has not read."""
        return len(self.buffer)

    def is_closing(self) -> bool:
        """Tell whether it is closed, or will be when the peer has read all."""
        return self.closing

    def is_reading(self) -> bool:
        """Tell whether the peer's bytes are taken."""
        return self.reading and not self.closing

    def can_write_eof(self) -> bool:
        """Tell whether it has a half-close."""
        return self.half_close

    def pause_reading(self) -> None:
        """Take no bytes."""
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.reading = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.reading = True

    def write(self, data: bytes) -> None:
        """Pass bytes on, or keep them while the peer does not read."""
        assert not self.finished, "written after the end of writing"
        if self.lost:
            return
        self.buffer += bytes(data)
        if self.peer_reads:
            self.pass_on(len(self.buffer))
        elif len(self.buffer) > HIGH_WATER and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        """End writing."""
        self.finished = True

    def close(self) -> None:
        """Close when the peer has read what is written."""
        if not self.closing:
            self.closing = True
            if not self.buffer:
                self.lose()

    def abort(self) -> None:
        """Close at once."""
        self.aborted = self.closing = True
        self.buffer = b""
        self.lose()

    # The peer's side.

    def receive_end(self) -> None:
        """Tell of the end of the peer's bytes."""
        if not self.protocol.eof_received():
            self.close()

    def pass_on(self, count: int) -> None:
        """Let the peer read so many bytes."""
        self.wire += self.buffer[:count]
        self.buffer = self.buffer[count:]
        if self.paused and len(self.buffer) <= HIGH_WATER // 4:
            self.paused = False
            self.protocol.resume_writing()
        if self.closing and not self.buffer and not self.lost:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """End TCP."""
        self.closing = True
        self.buffer = b""
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self.end, error)

    def end(self, error: Exception | None) -> None:
        """Tell of the end of TCP."""
        self.journal.append("lost")
        self.protocol.connection_lost(error)
