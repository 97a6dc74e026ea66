"""Tests of the look at the event loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.watch import Watch
from gateway.observe.families import LAG_SECONDS


class Loop:
    """An event loop of which the test calls the timers."""

    def __init__(self) -> None:
        self.now = 50.0
        self.timers: list[Any] = []

    def call_later(self, seconds: float, callback: Any) -> Any:
        """Keep the timer."""
        handle = SimpleNamespace(at=self.now + seconds, callback=callback, cancelled=False)
        handle.cancel = lambda: setattr(handle, "cancelled", True)
        self.timers.append(handle)
        return handle

    def run(self, late: float = 0.0) -> None:
        """Run the next timer, so many seconds late."""
        handle = self.timers.pop()
        assert not self.timers
        self.now = handle.at + late
        handle.callback()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Such a loop, by whose time the watch goes."""
    loop = Loop()
    monkeypatch.setattr("gateway.core.watch.monotonic", lambda: loop.now)
    return loop


def test_delays_are_counted_by_size(loop: Loop) -> None:
    """Each look is one observation; a timer that is early by a rounding was not late."""
    watch = Watch(loop)
    watch.begin()
    for late in (0.0, -0.0005, 0.002, 0.3, 20.0):
        loop.run(late)
    counts = dict(zip((*LAG_SECONDS, "more"), watch.lag.counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {
        0.001: 2,
        0.0025: 1,
        0.5: 1,
        "more": 1,
    }
    assert watch.lag.total == pytest.approx(20.302)


def test_the_longest_delay_is_forgotten(loop: Loop) -> None:
    """It is told for 15 to 30 seconds; what is late by less than another does not hide it."""
    watch = Watch(loop)
    watch.begin()
    loop.run(1.5)
    loop.run(0.5)
    assert watch.longest == pytest.approx(1.5)
    for _ in range(150):
        loop.run()
    assert watch.longest == pytest.approx(1.5)
    for _ in range(150):
        loop.run()
    assert watch.longest < 0.001


def test_each_look_has_messages_timed(loop: Loop) -> None:
    """Each route's sampler is told at each look, and no more after the end."""
    armed: list[str] = []
    watch = Watch(loop)
    watch.samplers = [SimpleNamespace(arm=lambda name=name: armed.append(name)) for name in "ab"]
    watch.begin()
    loop.run()
    assert armed == ["a", "b"]
    watch.close()
    (timer,) = loop.timers
    assert timer.cancelled
