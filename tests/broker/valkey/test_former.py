"""Tests of what is remembered of former links."""

from __future__ import annotations

from gateway.broker.valkey.former import FormerLinks


def test_each_server_has_its_own() -> None:
    """However many servers a cluster has, and however often one of them is connected to."""
    former = FormerLinks()
    for run in range(500):
        former.add(b"%d" % run, run)
    for number in range(100):
        former.add(b"0", number)
    assert [former.at(b"%d" % run) for run in range(1, 500)] == [[run] for run in range(1, 500)]
    assert former.at(b"0") == list(range(84, 100))
    former.discard(b"0", 90)
    former.discard(b"0", 90)
    former.discard(b"none", 90)
    assert former.at(b"0") == [*range(84, 90), *range(91, 100)]
    assert former.at(b"none") == []


def test_they_are_bounded() -> None:
    """Runs that have not been used for longest are forgotten."""
    former = FormerLinks()
    former.add(b"old", 1)
    for run in range(2000):
        former.add(b"used", run)
        former.add(b"%d" % run, run)
    assert former.at(b"old") == []
    assert former.at(b"used")[-1] == 1999
    assert former.at(b"1999") == [1999]
