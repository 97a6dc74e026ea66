"""Tests of the figures of several workers, put together."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.families import LAG_SECONDS
from gateway.observe.gathered import Gathered, from_plain, to_plain

OPENED = "gateway_connections_opened_total"
OPEN = "gateway_connections"
CPU = "gateway_worker_cpu_seconds_total"
READY = "gateway_worker_ready"
LAG = "gateway_loop_lag_seconds"
ENDED = "gateway_workers_ended_total"


def figures(opened: int = 0, connections: int = 0, cpu: float = 0.0, lag: int = 0) -> dict[str, Any]:
    """Give some figures of a worker."""
    return {
        OPENED: {("/a",): opened},
        OPEN: {("/a",): connections},
        CPU: {(): cpu},
        READY: {(): 1},
        LAG: {(): [lag, *[0] * len(LAG_SECONDS), lag * 0.0005]},
    }


def test_workers_add_up() -> None:
    """Counters, gauges and buckets of two workers are added; figures by worker keep their number."""
    gathered = Gathered()
    gathered.take("a", "0", figures(3, 2, 1.5, 4))
    gathered.take("b", "1", figures(4, 1, 2.5, 6))
    merged = gathered.merged()
    assert merged[OPENED] == {("/a",): 7}
    assert merged[OPEN] == {("/a",): 3}
    assert merged[CPU] == {("0",): 1.5, ("1",): 2.5}
    assert merged[READY] == {("0",): 1, ("1",): 1}
    assert merged[LAG][()][:2] == [10, 0]
    assert merged[ENDED] == {(): 0}


def test_what_a_dead_worker_has_counted_stays() -> None:
    """Its counters and buckets stay in the sum, under its number too; its gauges go."""
    gathered = Gathered()
    gathered.take("a", "0", figures(3, 2, 1.5, 4))
    gathered.take("b", "1", figures(4, 1, 2.5, 6))
    gathered.end("b")
    gathered.take("c", "1", figures(1, 1, 0.5, 1))
    merged = gathered.merged()
    assert merged[OPENED] == {("/a",): 8}
    assert merged[OPEN] == {("/a",): 3}
    assert merged[CPU] == {("0",): 1.5, ("1",): 3.0}
    assert merged[LAG][()][0] == 11
    assert merged[ENDED] == {(): 1}


def test_of_two_workers_with_one_number_the_newer_stands_for_it() -> None:
    """While one drains and another serves in its place, gauges by worker are not added up; counters are."""
    gathered = Gathered()
    gathered.take("old", "0", {**figures(3, 2, 1.5), READY: {(): 0}})
    gathered.take("new", "0", figures(1, 1, 0.5))
    merged = gathered.merged()
    assert merged[READY] == {("0",): 1}
    assert merged[OPEN] == {("/a",): 3}
    assert merged[CPU] == {("0",): 2.0}


def test_an_end_without_figures_counts() -> None:
    """A worker that died before it told anything has ended all the same."""
    gathered = Gathered()
    gathered.end("never heard")
    assert gathered.merged() == {ENDED: {(): 1}}


def test_what_was_given_is_not_changed() -> None:
    """Adding up leaves the workers' own figures as they were."""
    gathered = Gathered()
    first = figures(3, lag=4)
    gathered.take("a", "0", first)
    gathered.take("b", "1", figures(4, lag=6))
    gathered.merged()
    gathered.merged()
    assert first == figures(3, lag=4)
    assert gathered.merged()[OPENED] == {("/a",): 7}


def test_figures_travel_as_json() -> None:
    """What JSON has carried is what was sent."""
    sent = figures(3, 2, 1.5, 4)
    assert from_plain(json.loads(json.dumps(to_plain(sent)))) == sent


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=40)


@given(STEPS)
def test_counters_never_fall(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever workers count, die and are replaced, what is gathered only grows, and is all that was told."""
    gathered = Gathered()
    counts = dict.fromkeys(range(3), 0)
    lives = dict.fromkeys(range(3), 0)
    seen = total = 0
    for slot, more, dies in steps:
        if dies:
            gathered.end((slot, lives[slot]))
            lives[slot] += 1
            counts[slot] = 0
        else:
            counts[slot] += more
            total += more
            gathered.take((slot, lives[slot]), str(slot), figures(counts[slot]))
        now = gathered.merged().get(OPENED, {}).get(("/a",), 0)
        assert now >= seen
        assert now == total
        seen = now
