"""Tests of rates: a token bucket for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Iterable

NOON = 1_000_000.0  # of a monotonic clock: what rounding there is shows


def take(rates: Rates, key: str, now: float) -> bool:
    """Take a token, if there is one."""
    if rates.wait(key, now):
        return False
    rates.take(key, now)
    return True


def takes(rates: Rates, key: str, times: Iterable[float]) -> int:
    """Count the tokens that can be taken at some times."""
    return sum(take(rates, key, time) for time in times)


@pytest.mark.parametrize(
    ("per_second", "burst", "at_once"),
    [(10, 0, 10), (10, 3, 3), (1, 5, 5), (0.5, 0, 1), (0.1, 2, 2), (0.3, 7, 7), (1000, 0, 1000)],
)
def test_burst(per_second: float, burst: int, at_once: int) -> None:
    """A bucket holds one burst; without one, a second's worth, and one token at least."""
    assert takes(Rates(per_second, burst), "a", [NOON] * (at_once + 5)) == at_once


def test_refilling() -> None:
    """It fills at its rate, and no higher than one burst."""
    rates = Rates(10, 5)
    assert takes(rates, "a", [NOON] * 9) == 5
    assert takes(rates, "a", [NOON + 0.05] * 9) == 0
    assert takes(rates, "a", [NOON + 0.31] * 9) == 3
    assert takes(rates, "a", [NOON + 60] * 9) == 5


def test_wait() -> None:
    """The wait ends when the next token is there, and not before."""
    rates = Rates(0.5, 2)
    assert takes(rates, "a", [NOON] * 9) == 2
    assert rates.wait("a", NOON) == pytest.approx(2)
    assert rates.wait("a", NOON + 1.5) == pytest.approx(0.5)
    assert take(rates, "a", NOON + 2)
    assert rates.wait("a", NOON + 2) == pytest.approx(2)


def test_keys_have_buckets_of_their_own() -> None:
    """What one key takes is not missing to another."""
    rates = Rates(1, 2)
    assert takes(rates, "a", [NOON] * 9) == 2
    assert takes(rates, "b", [NOON] * 9) == 2


def test_full_buckets_are_forgotten() -> None:
    """A bucket that is full again is forgotten as others are used, two for each."""
    rates = Rates(1, 1)
    for number in range(1000):
        take(rates, f"old {number}", NOON)
    assert len(rates) == 1000
    for number in range(400):
        take(rates, f"new {number}", NOON + 2)
    assert len(rates) == 600
    for number in range(400, 800):
        take(rates, f"new {number}", NOON + 2)
    assert len(rates) == 800
    assert not take(rates, "new 0", NOON + 2)


def test_number_of_buckets_is_bounded() -> None:
    """Past the most that are kept, the one longest unseen is forgotten, and the others are not."""
    rates = Rates(0.001, 30, most=100)
    for number in range(1000):
        rates.take(f"{number}", NOON)
        if number % 50 == 0:
            rates.take("often", NOON)
        assert len(rates) <= 100
    assert takes(rates, "often", [NOON] * 99) == 10
    assert takes(rates, "999", [NOON] * 99) == 29
    assert takes(rates, "1", [NOON] * 99) == 30


@given(
    st.floats(0.1, 100),
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=200),
)
def test_no_more_than_the_rate(per_second: float, burst: int, events: list[tuple[str, float]]) -> None:
    """Over any time a key gets its burst and what has come in since, and all of it in the end."""
    rates = Rates(per_second, burst)
    room = max(burst or per_second, 1)
    now = NOON
    taken = {"a": 0, "b": 0}
    for key, pause in events:
        now += pause
        taken[key] += take(rates, key, now)
        assert taken[key] <= room + (now - NOON) * per_second + 0.01
    assert takes(rates, "a", [now + room / per_second + 1] * int(room + 3)) == int(room + 1e-6)
