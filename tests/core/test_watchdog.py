"""Tests of the watchdog: what it tells, and what it is silent about."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Watched:
    """A watchdog that looks at the test's own thread, and what it has told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.heard = threading.Event()
        self.dog = Watchdog(0.08, 0.01, self._report)

    def _report(self, frame: FrameType, seconds: float) -> None:
        self.told.append((frame.f_code.co_name, seconds))
        self.heard.set()
        raise RuntimeError("whatever it does, the watchdog goes on")


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A watchdog that has started."""
    watched = Watched()
    watched.dog.start()
    yield watched
    watched.dog.close()


def hold_up(watched: Watched) -> None:
    """Do not beat until the watchdog has told of it."""
    assert watched.heard.wait(10)


def test_it_tells_once_each_time(watched: Watched) -> None:
    """One word for each time that the loop stands still, with where it stands and for how long it has."""
    for number in (1, 2):
        watched.heard.clear()
        watched.dog.beat()
        hold_up(watched)
        time.sleep(0.1)  # and longer: it has said so
        assert len(watched.told) == number
    # What the thread does is to wait, within what holds it up.
    assert {name for name, _ in watched.told} <= {"wait", "hold_up"}
    assert all(seconds > 0.08 for _, seconds in watched.told)


def test_it_is_silent_when_all_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the watchdog itself was late, and the watched thread has not worked, the machine was at fault."""
    watched = Watched()
    dog: Any = watched.dog
    looks = iter((False, False, True))
    now = [100.0]
    monkeypatch.setattr("gateway.core.watchdog.time", SimpleNamespace(monotonic=lambda: now[0]))
    work = [5.0]
    monkeypatch.setattr(dog, "_work", lambda: work[0])

    class Stop:
        """A pause in which a second passes, and somebody worked or not."""

        def __init__(self, worked: float) -> None:
            self.worked = worked

        def wait(self, seconds: float) -> bool:
            """Let the second pass."""
            now[0] += 1.0
            work[0] += self.worked
            return next(looks)

        def set(self) -> None:
            """End."""

    dog._stop = Stop(worked=0.0)
    dog.beat()
    dog._look()
    assert watched.told == []
    looks = iter((False, False, True))
    dog._stop = Stop(worked=1.0)
    dog.beat()
    dog._look()
    assert len(watched.told) == 1


@pytest.mark.parametrize(("queued", "told"), [(0.98, 0), (0.1, 1)])
def test_it_is_silent_while_the_thread_waits_for_a_processor(
    monkeypatch: pytest.MonkeyPatch, queued: float, told: int
) -> None:
    """What other processes hold up is nobody's fault here; what is left counts."""
    watched = Watched()
    dog: Any = watched.dog
    looks = iter((False, False, True))
    now = [100.0]
    waited = [7.0]
    monkeypatch.setattr("gateway.core.watchdog.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(dog, "_work", lambda: now[0])
    monkeypatch.setattr(dog, "_queue", lambda: waited[0])

    def wait(_: float) -> bool:
        now[0] += 0.5
        waited[0] += queued / 2
        return next(looks)

    dog._stop = SimpleNamespace(wait=wait, set=lambda: None)
    dog.beat()
    dog._look()
    assert len(watched.told) == told


def test_the_system_tells_how_long_a_thread_has_waited(watched: Watched) -> None:
    """On one processor, two threads that work at the same time wait for each other."""
    dog: Any = watched.dog
    processors = os.sched_getaffinity(0)
    before = dog._queue()
    script = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", script]) as other:
        try:
            one = {min(processors)}
            os.sched_setaffinity(0, one)
            os.sched_setaffinity(other.pid, one)
            deadline = time.monotonic() + 30
            while dog._queue() - before < 0.05:
                assert time.monotonic() < deadline
        finally:
            os.sched_setaffinity(0, processors)
            other.kill()
    assert dog._queue() > before
