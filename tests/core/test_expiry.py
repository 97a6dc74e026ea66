"""Tests of the end of identities: on time, by the calendar's clock, and without keeping who has gone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Identity
from gateway.core.expiry import Expiries

START = 1_000_000.0


class Loop:
    """A loop whose clock, and the calendar's with it, go on when they are told to."""

    def __init__(self) -> None:
        self.now = START
        self.timers: list[tuple[float, object]] = []

    def call_later(self, seconds: float, callback: object) -> Loop:
        """Call later; there is one timer at most."""
        assert not self.timers
        self.timers.append((self.now + seconds, callback))
        return self

    def cancel(self) -> None:
        """Call no more."""
        self.timers.clear()

    def go(self, seconds: float) -> None:
        """Let time pass, and make the calls that fall into it."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, callback = self.timers.pop()
            callback()
        self.now = end


class Peer:
    """A connection that notes when it is closed, and with what."""

    def __init__(self, loop: Loop, expiries: Expiries, seconds: float | None) -> None:
        self.loop, self.expiries = loop, expiries
        self.is_open = True
        self.closed: list[tuple[float, int, str]] = []
        ends = None if seconds is None else loop.now + seconds
        self.identity: Identity | None = Identity("ada", expires_at=ends)

    def begin_close(self, code: int, reason: str) -> None:
        """Note it, and end; nothing happens if it has ended, as with a connection."""
        if self.is_open:
            self.closed.append((self.loop.now, code, reason))
            self.end()

    def end(self) -> None:
        """End, as a connection does that leaves the hub."""
        if self.is_open:
            self.is_open = False
            if self.identity is not None and self.identity.expires_at is not None:
                self.expiries.forget_one()

    def renew(self, seconds: float | None) -> None:
        """Get another identity."""
        former, ends = self.identity, None if seconds is None else self.loop.now + seconds
        self.identity = Identity("ada", expires_at=ends)
        self.expiries.renew(self, former)


@pytest.fixture
def loop() -> Loop:
    """Give a loop."""
    return Loop()


@pytest.fixture
def expiries(loop: Loop) -> Expiries:
    """Give the ends of identities."""
    return Expiries(loop, lambda: loop.now)


def test_each_is_closed_within_a_second(loop: Loop, expiries: Expiries) -> None:
    """A connection is closed with 4401 when its identity has ended, at most two seconds later."""
    peers = [(seconds, Peer(loop, expiries, seconds)) for seconds in (0.0, 0.4, 1.0, 7.3, 60.0, 3600.0)]
    for _, peer in peers:
        expiries.add(peer)
    loop.go(3700)
    for seconds, peer in peers:
        ((when, code, reason),) = peer.closed
        assert (code, reason) == (4401, "identity expired")
        assert seconds <= when - START <= seconds + 2
    assert (len(expiries), loop.timers) == (0, [])


def test_what_has_no_end_is_left_alone(loop: Loop, expiries: Expiries) -> None:
    """Without an identity, or with one that does not end, there is nothing to look for."""
    endless, nobody = Peer(loop, expiries, None), Peer(loop, expiries, 5)
    nobody.identity = None
    expiries.add(endless)
    expiries.add(nobody)
    assert (len(expiries), loop.timers) == (0, [])


def test_many_at_once_are_spread_over_turns(loop: Loop, expiries: Expiries) -> None:
    """Of many that end in one second a few hundred are closed in one turn of the loop, and all in time."""
    peers = [Peer(loop, expiries, 5) for _ in range(1001)]
    for peer in peers:
        expiries.add(peer)
    loop.go(4.5)
    assert sum(bool(peer.closed) for peer in peers) == 0
    while not peers[0].closed or any(not peer.closed for peer in peers):
        before = sum(bool(peer.closed) for peer in peers)
        when, callback = loop.timers.pop()
        loop.now = max(when, loop.now)
        callback()
        assert sum(bool(peer.closed) for peer in peers) - before <= 200
    assert loop.now <= START + 7
    assert (len(expiries), loop.timers) == (0, [])


def test_a_renewed_identity_counts(loop: Loop, expiries: Expiries) -> None:
    """After a renewal the new end holds, be it later, sooner, the same or none."""
    later, sooner, same, never = (Peer(loop, expiries, 10) for _ in range(4))
    for peer in (later, sooner, same, never):
        expiries.add(peer)
    for peer, seconds in ((later, 30), (sooner, 5), (same, 10), (never, None)):
        peer.renew(seconds)
    loop.go(100)
    ends = [[round(when - START) for when, _, _ in peer.closed] for peer in (later, sooner, same, never)]
    assert ends == [[30], [5], [10], []]
    assert (len(expiries), loop.timers) == (0, [])


def test_who_has_gone_is_let_go(loop: Loop, expiries: Expiries) -> None:
    """Never are more kept that have ended than are open, however far their identities would have lasted."""
    peers = [Peer(loop, expiries, 1000 + index % 7) for index in range(90)]
    for peer in peers:
        expiries.add(peer)
    for index, peer in enumerate(peers):
        if index % 9:
            peer.end()
            left = sum(other.is_open for other in peers)
            kept = sum(map(len, expiries._by_second.values()))
            assert (len(expiries), kept <= 2 * left) == (left, True)
    loop.go(2000)
    assert [bool(peer.closed) for peer in peers] == [index % 9 == 0 for index in range(90)]
    assert len(expiries) == 0


def test_a_renewed_one_outlives_its_first_end(loop: Loop, expiries: Expiries) -> None:
    """The end that was listed first is passed over, and the newer one is not."""
    peer = Peer(loop, expiries, 5)
    expiries.add(peer)
    peer.renew(50)
    loop.go(40)
    assert (peer.closed, len(expiries)) == ([], 1)
    loop.go(20)
    assert (len(peer.closed), len(expiries)) == (1, 0)


@pytest.mark.parametrize(("due", "left", "gone"), [(3, 0, 3), (20, 10, 30), (300, 7, 307)])
def test_some_of_no_use_when_a_second_comes(
    loop: Loop, expiries: Expiries, due: int, left: int, gone: int
) -> None:
    """The counts stay right where those of one second are closed while others are of no use already."""
    peers = [Peer(loop, expiries, 5 if index < due else 900) for index in range(due + left + gone)]
    for peer in peers:
        expiries.add(peer)
    for peer in peers[due + left :]:
        peer.end()
    loop.go(7)
    assert [len(peer.closed) for peer in peers] == [1] * due + [0] * (left + gone)
    assert len(expiries) == left


def test_there_and_back(loop: Loop, expiries: Expiries) -> None:
    """A connection that is renewed to where it was listed before counts once."""
    peer, other = Peer(loop, expiries, 10), Peer(loop, expiries, 20)
    expiries.add(peer)
    expiries.add(other)
    for _ in range(5):
        for seconds in (30, 10):
            peer.renew(seconds)
            assert len(expiries) == 2
    loop.go(15)
    assert (len(peer.closed), len(expiries)) == (1, 1)


def test_closed_within_a_second(loop: Loop, expiries: Expiries) -> None:
    """However the ends and the looks fall into the seconds, nobody is closed early, or a second late."""
    peers = []
    for index in range(200):
        loop.go(0.0613)
        peers.append(Peer(loop, expiries, 0.01 + index * 0.0417))
        expiries.add(peers[-1])
    ends = [peer.identity.expires_at for peer in peers]
    loop.go(20)
    late = [peer.closed[0][0] - end for peer, end in zip(peers, ends, strict=True)]
    assert min(late) >= 0
    assert max(late) <= 1.000001


# Few seconds and few connections, so that they often meet.
seconds = st.sampled_from([0.3, 1, 2.5, 4, 8]) | st.floats(0.1, 9)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "end", "renew", "go"]), st.integers(0, 3), st.none() | seconds),
    max_size=60,
)


@given(steps)
def test_any_lives(steps: list[tuple[str, int, float | None]]) -> None:
    """Whatever connections do, each is closed once if its end comes, within a second, and none is kept."""
    loop = Loop()
    expiries = Expiries(loop, lambda: loop.now)
    peers: list[Peer] = []
    for step, index, seconds in steps:
        peer = peers[index % len(peers)] if peers else None
        if step == "add":
            peers.append(Peer(loop, expiries, seconds))
            expiries.add(peers[-1])
        elif step == "go":
            loop.go(seconds or 1)
        elif peer is not None and peer.is_open:
            if step == "end":
                peer.end()
            else:
                peer.renew(seconds)
        alive = [peer for peer in peers if peer.is_open and peer.identity.expires_at is not None]
        assert len(expiries) == len(alive)
        kept = sum(map(len, expiries._by_second.values()))
        assert len(alive) <= kept <= 2 * len(alive)
        assert all(loop.now <= peer.identity.expires_at + 1 + 1e-6 for peer in alive)
        assert all(
            len(peer.closed) == 1 and peer.identity.expires_at <= peer.closed[0][0]
            for peer in peers
            if peer.closed
        )
    loop.go(20)
    assert (len(expiries), expiries._by_second, loop.timers) == (0, {}, [])


def test_a_set_clock_is_believed(loop: Loop, expiries: Expiries) -> None:
    """Where the calendar's clock is put forward, identities that have ended by it are closed at once."""
    calendar = [START]
    expiries = Expiries(loop, lambda: calendar[0])
    peer = Peer(loop, expiries, 3600)
    expiries.add(peer)
    loop.go(10)
    assert not peer.closed
    calendar[0] += 4000
    loop.go(1)
    assert len(peer.closed) == 1


async def test_close_lets_everything_go() -> None:
    """After a close there is no timer, and no connection."""
    running = asyncio.get_running_loop()
    loop = Loop()
    expiries = Expiries(running, lambda: loop.now)
    expiries.add(Peer(loop, expiries, 10))
    assert len(expiries) == 1
    expiries.close()
    assert (len(expiries), expiries._timer) == (0, None)
