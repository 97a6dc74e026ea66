"""Tests of the pings of many connections under one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 10.0


class Loop:
    """A loop whose clock stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """Give the time."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call later."""
        self.timers.append((when, callback))
        return Timer(self)

    def go(self, seconds: float) -> None:
        """Let time pass, and make the calls that fall into it."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, callback = self.timers.pop(0)
            callback()
        self.now = end


class Timer:
    """What stands for the only timer of a loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def cancel(self) -> None:
        """Call no more."""
        self.loop.timers.clear()


class Peer:
    """A connection that notes when it is pinged."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.is_open = True
        self.pinged: list[float] = []

    def ping(self) -> None:
        """Note the time."""
        self.pinged.append(self.loop.now)


@pytest.fixture
def loop() -> Loop:
    """Give a loop."""
    return Loop()


@pytest.fixture
def rounds(loop: Loop) -> Rounds:
    """Give the pings of one interval."""
    return Rounds(loop, INTERVAL)


def test_each_is_pinged_once_an_interval(loop: Loop, rounds: Rounds) -> None:
    """A connection is pinged one interval after it came, late by at most a quarter of a second, and so on."""
    peers = []
    for _ in range(40):
        peers.append((loop.now, Peer(loop)))
        rounds.add(peers[-1][1])
        loop.go(0.11)
    loop.go(3.2 * INTERVAL)
    for came, peer in peers:
        gaps = [late - early for early, late in zip([came, *peer.pinged], peer.pinged, strict=False)]
        assert len(gaps) >= 3
        assert all(INTERVAL - 1e-6 <= gap <= INTERVAL + 0.25 + 1e-6 for gap in gaps)


def test_one_timer_runs(loop: Loop, rounds: Rounds) -> None:
    """However many connections there are, there is one timer, and none without any."""
    peers = [Peer(loop) for _ in range(100)]
    for peer in peers:
        rounds.add(peer)
        loop.go(0.01)
    assert len(loop.timers) == 1
    for peer in peers:
        peer.is_open = False
        rounds.forget_one()
    loop.go(2 * INTERVAL)
    assert (loop.timers, len(rounds)) == ([], 0)


def test_who_has_ended_is_let_go(loop: Loop, rounds: Rounds) -> None:
    """Never are more kept that have ended than are open; those that are left are pinged as before."""
    peers = [Peer(loop) for _ in range(90)]
    for peer in peers:
        rounds.add(peer)
        loop.go(0.02)
    for index, peer in enumerate(peers):
        if index % 3:
            peer.is_open = False
            rounds.forget_one()
            kept = sum(len(batch.connections) for batch in rounds._batches)
            left = sum(other.is_open for other in peers)
            assert (len(rounds), kept <= 2 * left) == (left, True)
    loop.go(2.1 * INTERVAL)
    assert {len(peer.pinged) for peer in peers[::3]} == {2}
    assert {len(peer.pinged) for index, peer in enumerate(peers) if index % 3} == {0}
    assert len(rounds) == 30


def test_who_ends_in_its_round_is_counted_once(loop: Loop, rounds: Rounds) -> None:
    """A connection whose turn comes after its end, and before anybody was told of it, leaves no trace."""
    ended, other = Peer(loop), Peer(loop)
    rounds.add(ended)
    rounds.add(other)
    ended.is_open = False
    loop.go(INTERVAL + 1)
    rounds.forget_one()
    assert (len(rounds), ended.pinged, len(other.pinged)) == (1, [], 1)


async def test_close_lets_everything_go() -> None:
    """After a close there is no timer, and no connection."""
    running = asyncio.get_running_loop()
    rounds = Rounds(running, INTERVAL)
    rounds.add(Peer(Loop()))
    assert len(rounds) == 1
    rounds.close()
    assert (len(rounds), rounds._timer) == (0, None)
