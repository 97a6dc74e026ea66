"""Tests of what is known of other nodes, and for how long."""

from __future__ import annotations

import pytest

from gateway.core import neighbours
from gateway.core.neighbours import BEAT_SECONDS, SILENT_SECONDS, Neighbours


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def time(self) -> float:
        """Give its time."""
        return self.now


def beat(known: Neighbours, clock: Clock, seconds: float) -> None:
    """Let time pass, with the beats that belong to it."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now = min(clock.now + BEAT_SECONDS, end)
        known.drop_silent()


def test_a_node_is_known_until_it_is_silent() -> None:
    """It is made at its first word, stays with every further one, and is lost after the silence."""
    clock, lost = Clock(), []
    known = Neighbours(clock, lambda name: [name], lost.append)
    assert known.hear("a") == (["a"], True)
    beat(known, clock, SILENT_SECONDS - 1)
    assert known.hear("a") == (["a"], False)
    known.hear("b")
    beat(known, clock, SILENT_SECONDS - 1)
    known.hear("b")
    assert (list(known), lost) == ([["a"], ["b"]], [])
    beat(known, clock, 2)
    assert (list(known), lost) == ([["b"]], [["a"]])


def test_a_node_that_says_so_is_gone_at_once() -> None:
    """It is lost once, and new when it is heard again."""
    lost: list[str] = []
    known = Neighbours(Clock(), str, lost.append)
    known.hear("a")
    known.drop("a")
    known.drop("a")
    assert (len(known), lost) == (0, ["a"])
    assert known.hear("a") == ("a", True)


def test_nobody_is_lost_while_this_process_stood_still() -> None:
    """What others said during a long pause is still to be read: only the next beats count."""
    clock, lost = Clock(), []
    known = Neighbours(clock, str, lost.append)
    known.hear("a")
    clock.now += 60
    known.drop_silent()
    assert lost == []
    beat(known, clock, BEAT_SECONDS)
    assert lost == ["a"]


def test_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is refused, and those that are known go on."""
    monkeypatch.setattr(neighbours, "_MOST", 2)
    known = Neighbours(Clock(), str, lambda _: None)
    known.hear("a")
    known.hear("b")
    with pytest.raises(ValueError, match="too many nodes"):
        known.hear("c")
    assert known.hear("a") == ("a", False)
