"""Tests of the pauses between the starts of a child process, and of how its end is told."""

from __future__ import annotations

import pytest

from gateway.children.restarts import Restarts, tell_status


def test_the_first_death_is_made_good_at_once() -> None:
    """A child that had lived for long is started anew without a pause, each time."""
    restarts = Restarts()
    assert [restarts.pause(lived) for lived in (100.0, 10.0, 86_400.0)] == [0.0, 0.0, 0.0]


def test_pauses_grow_while_it_keeps_dying() -> None:
    """A child that dies again and again waits longer from time to time, but never over three seconds."""
    restarts = Restarts()
    assert [restarts.pause(0.0) for _ in range(7)] == [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    assert max(restarts.pause(9.9) for _ in range(2000)) == 3.0


def test_a_good_life_ends_the_pauses() -> None:
    """Once it has lived for ten seconds, all is as at the beginning."""
    restarts = Restarts()
    for _ in range(5):
        restarts.pause(0.0)
    assert [restarts.pause(lived) for lived in (10.0, 0.0, 0.0)] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("status", "told"),
    [(0, {"status": 0}), (3, {"status": 3}), (-9, {"signal": "SIGKILL"}), (-63, {"signal": "63"})],
)
def test_an_end_is_told_by_status_or_signal(status: int, told: dict[str, int | str]) -> None:
    """A signal has its name, where it has one."""
    assert tell_status(status) == told
