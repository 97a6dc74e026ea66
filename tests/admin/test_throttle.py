"""Tests of how often somebody may try to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.admin.throttle import LoginThrottle

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.seconds


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that stands."""
    return Clock()


def test_the_wait_doubles_up_to_a_minute(clock: Clock) -> None:
    """Each wrong token doubles the wait of its address, and of no other."""
    throttle = LoginThrottle(clock)
    assert throttle.wait("a") == 0
    waits = []
    for _ in range(9):
        throttle.failed("a")
        waits.append(throttle.wait("a"))
        clock.seconds += waits[-1]
        assert throttle.wait("a") == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert throttle.wait("b") == 0


def test_a_thousand_wrong_ones_wait_a_minute(clock: Clock) -> None:
    """No count of wrong tokens is too great to be reckoned with."""
    throttle = LoginThrottle(clock)
    for _ in range(2000):
        throttle.failed("a")
    assert throttle.wait("a") == 60


def test_it_is_forgotten(clock: Clock) -> None:
    """A right token, or an hour of peace, and the wait begins at a second again."""
    throttle = LoginThrottle(clock)
    assert [throttle.failed("a") for _ in range(3)] == [1, 2, 3]
    throttle.passed("a")
    throttle.passed("never seen")
    assert throttle.wait("a") == 0
    assert [throttle.failed("a") for _ in range(3)] == [1, 2, 3]
    clock.seconds += 3599
    assert throttle.failed("a") == 4
    clock.seconds += 3601
    assert throttle.failed("a") == 1
    assert throttle.wait("a") == 1


def test_memory_is_bounded(clock: Clock) -> None:
    """Where there is no room, the address that has been quiet the longest is forgotten."""
    throttle = LoginThrottle(clock, most=3)
    for address in ("a", "b", "c", "a", "d"):
        clock.seconds += 0.01
        throttle.failed(address)
    assert len(throttle) == 3
    assert throttle.wait("b") == 0
    assert throttle.wait("a") > 1
    for index in range(10_000):
        throttle.failed(str(index))
    assert len(throttle) == 3
