from __future__ import annotations

import asyncio

import pytest

from gateway.broker.channels import Channels
from gateway.broker.subscriptions import LINGER_SECONDS, Subscriptions

CHANNELS = Channels("x", "one")
A, B = CHANNELS.of_group("a"), CHANNELS.of_group("b")


class Clock:
    """A loop's clock and timers, which the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        """Give the time."""
        return self.now

    def call_at(self, when: float, function: object) -> asyncio.TimerHandle:
        """Note a call."""
        self.timers.append((when, function))
        return asyncio.TimerHandle(when, function, (), asyncio.get_running_loop())  # type: ignore[arg-type]

    def call_later(self, delay: float, function: object) -> asyncio.TimerHandle:
        """Note a call."""
        return self.call_at(self.now + delay, function)

    def move(self, seconds: float) -> None:
        """Let time pass, and make the calls that are due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, function in due:
            function()  # type: ignore[operator]


@pytest.fixture
async def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def changes() -> list[None]:
    """Grows with each time that the engine has something to be told."""
    return []


@pytest.fixture
def groups(clock: Clock, changes: list[None]) -> Subscriptions:
    """No subscriptions yet."""
    return Subscriptions(clock, CHANNELS, lambda: changes.append(None))  # type: ignore[arg-type]


async def test_a_group_is_asked_for_once(groups: Subscriptions, changes: list[None]) -> None:
    """The engine is told of a group when it is added first."""
    groups.add("a")
    groups.add("b")
    groups.add("a")
    assert groups.take() == ([A, B], [])
    assert groups.take() == ([], [])
    assert len(changes) == 2
    assert (groups.group_of(A), groups.channel_of("a"), groups.channel_of("c")) == (
        "a",
        A,
        CHANNELS.of_group("c"),
    )
    assert groups.group_of(CHANNELS.of_group("c")) is None


async def test_a_group_is_left_after_the_delay(groups: Subscriptions, clock: Clock) -> None:
    """Until then it is received; each group has its own delay, and one timer serves all."""
    groups.add("a")
    groups.add("b")
    groups.take()
    groups.discard("a")
    clock.move(LINGER_SECONDS / 2)
    groups.discard("b")
    assert len(clock.timers) == 1
    clock.move(LINGER_SECONDS / 2 - 0.01)
    assert groups.take() == ([], [])
    assert groups.group_of(A) == "a"
    clock.move(0.01)
    assert groups.take() == ([], [A])
    assert groups.group_of(A) is None
    assert groups.group_of(B) == "b"
    clock.move(LINGER_SECONDS / 2)
    assert groups.take() == ([], [B])
    assert clock.timers == []


async def test_coming_back_in_time_costs_nothing(
    groups: Subscriptions, clock: Clock, changes: list[None]
) -> None:
    """Whoever comes back within the delay has never been away, however often."""
    groups.add("a")
    groups.take()
    for _ in range(3):
        groups.discard("a")
        clock.move(LINGER_SECONDS / 2)
        groups.add("a")
    clock.move(LINGER_SECONDS * 2)
    assert groups.take() == ([], [])
    assert groups.group_of(A) == "a"
    assert len(changes) == 1


async def test_the_delay_begins_anew(groups: Subscriptions, clock: Clock) -> None:
    """A group that was left, joined and left again is received for the whole delay from then."""
    groups.add("a")
    groups.take()
    groups.discard("a")
    clock.move(LINGER_SECONDS * 0.9)
    groups.add("a")
    groups.discard("a")
    clock.move(LINGER_SECONDS * 0.9)
    assert groups.group_of(A) == "a"
    clock.move(LINGER_SECONDS * 0.1)
    assert groups.take() == ([], [A])


async def test_what_the_engine_has_not_heard_of_is_not_taken_back(
    groups: Subscriptions, clock: Clock
) -> None:
    """A group that came and went while there was no connection is never told."""
    groups.add("a")
    groups.discard("a")
    clock.move(LINGER_SECONDS)
    assert groups.take() == ([], [])
    groups.add("b")
    groups.take()
    groups.discard("b")
    clock.move(LINGER_SECONDS)
    groups.add("b")
    assert groups.take() == ([], [])
    assert groups.group_of(B) == "b"


async def test_a_new_link_asks_for_all(groups: Subscriptions, clock: Clock) -> None:
    """Everything that is received, those that linger too; nothing is left to be told besides."""
    groups.add("a")
    groups.add("b")
    groups.take()
    groups.discard("b")
    groups.add("c")
    assert groups.take_all() == [A, B, CHANNELS.of_group("c")]
    assert groups.take() == ([], [])
    clock.move(LINGER_SECONDS)
    assert groups.take_all() == [A, CHANNELS.of_group("c")]
    assert groups.take() == ([], [])
