"""Tests of what is kept for a moment."""

from __future__ import annotations

from gateway.auth.recent import Recent


def test_an_entry_ends() -> None:
    """An entry is given until its time is over, and then it is gone."""
    now = 100.0
    recent: Recent[str] = Recent(5, 10, lambda: now)
    recent.put(b"a", "first")
    now = 104.9
    assert recent.get(b"a") == "first"
    now = 105.0
    assert recent.get(b"a") is None
    assert len(recent) == 0


def test_a_new_entry_replaces_an_old_one() -> None:
    """What is put in again lives anew."""
    now = 100.0
    recent: Recent[str] = Recent(5, 10, lambda: now)
    recent.put(b"a", "first")
    now = 103.0
    recent.put(b"a", "second")
    now = 107.0
    assert (recent.get(b"a"), len(recent)) == ("second", 1)


def test_entries_are_bounded() -> None:
    """Above the limit the oldest goes; what has ended goes in any case."""
    now = 100.0
    recent: Recent[int] = Recent(5, 3, lambda: now)
    for number in range(4):
        recent.put(bytes([number]), number)
    assert [recent.get(bytes([number])) for number in range(4)] == [None, 1, 2, 3]
    now = 106.0
    recent.put(b"new", 9)
    assert (len(recent), recent.get(b"new")) == (1, 9)


def test_zero_seconds_keep_nothing() -> None:
    """Without a time nothing is kept."""
    recent: Recent[int] = Recent(0, 3)
    recent.put(b"a", 1)
    assert (recent.get(b"a"), len(recent)) == (None, 0)
