"""The watchdog: a thread that finds out whose code holds up the event loop."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Watchdog"]

_LOOKS: Final = 4
"""In the seconds that are waited for."""
_LONGEST_LOOK: Final = 0.25


class Watchdog:
    """A thread that looks whether the event loop still turns, and if not, at what it does.

    Args:
        seconds: For how long it may not turn.
        tick: Within which the loop calls `beat`, in seconds.
        report: Called in the thread, once each time that the loop stands still, with the innermost frame of
            the loop's thread and the seconds so far.
    """

    def __init__(self, seconds: float, tick: float, report: Callable[[FrameType, float], None]) -> None:
        self._seconds = seconds
        self._tick = tick
        self._report = report
        self._beat_at = 0.0
        self._told = 0.0
        self._stop = threading.Event()
        self._thread = threading.current_thread()

    def start(self) -> None:
        """Look from now on at the thread in which this is called."""
        self._thread = threading.current_thread()
        self.beat()
        threading.Thread(target=self._look, name="gateway watchdog", daemon=True).start()

    def beat(self) -> None:
        """Tell that the loop turns."""
        self._beat_at = time.monotonic()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def _look(self) -> None:
        pause = min(self._seconds / _LOOKS, _LONGEST_LOOK)
        looked_at = time.monotonic()
        worked, queued = self._work(), self._queue()
        beat_at, queued_before = self._beat_at, queued
        while not self._stop.wait(pause):
            former, looked_at = looked_at, time.monotonic()
            before, worked = worked, self._work()
            if beat_at != self._beat_at:
                beat_at, queued_before = self._beat_at, queued
            queued = self._queue()
            slept = looked_at - former - pause
            if slept > self._seconds / 2 and worked - before < slept / 2:
                continue  # the whole process stood still: the machine is at fault, or a debugger
            # A thread that waits for a processor is held up by other processes.
            late = looked_at - beat_at - self._tick - (queued - queued_before)
            if late > self._seconds and beat_at != self._told:
                self._told = beat_at
                self._tell(late)

    def _tell(self, late: float) -> None:
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - there is no other way
        # If the loop turns again, the frame is not the one that held it up.
        if frame is not None and self._beat_at == self._told:
            with suppress(Exception):  # whatever it is, the next look may tell more
                self._report(frame, late)
        del frame

    def _work(self) -> float:
        """Give the CPU seconds of the watched thread; endless where the system does not tell."""
        if self._thread.is_alive():  # the system does not bear to be asked about a thread that has ended
            with suppress(AttributeError, OSError):
                return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident or 0))
        return float("inf")

    def _queue(self) -> float:
        """Give the seconds for which the watched thread has waited for a processor; 0 where nobody tells."""
        with suppress(OSError, IndexError, ValueError):
            told = Path(f"/proc/self/task/{self._thread.native_id}/schedstat").read_bytes()
            return int(told.split()[1]) / 1e9
        return 0.0
