"""Tests of the turns of a plugin's events: a bound for all, and a share for each route."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.turns import Turns


class Events:
    """Events that begin and end when a test says so.

    Args:
        most: The bound.
        routes: How many routes there are.
    """

    def __init__(self, most: int, routes: int) -> None:
        self.turns = Turns(most, [None] * routes)  # type: ignore[list-item]
        self.running: list[str] = []
        """The names of those that have had their turns."""
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def begin(self, *names: str) -> None:
        """Begin events whose names begin with their route's."""
        for name in names:
            self.tasks[name] = asyncio.ensure_future(self._run(name))
            await asyncio.sleep(0)

    async def _run(self, name: str) -> None:
        if self.turns.has_to_wait(name[0]):
            self.turns.begin(name[0])
            await self.turns.wait(name[0])
        else:
            self.turns.begin(name[0])
        self.running.append(name)

    async def end(self, name: str) -> None:
        """End one that runs."""
        self.running.remove(name)
        self.turns.end(name[0])
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_one_route_may_have_all() -> None:
    """While others are idle a route takes the whole bound, and then its events have their turns in order."""
    events = Events(4, 2)
    await events.begin("a1", "a2", "a3", "a4", "a5", "a6")
    assert events.running == ["a1", "a2", "a3", "a4"]
    assert events.turns.full
    assert events.turns.under_way == 6
    await events.end("a2")
    assert events.running == ["a1", "a3", "a4", "a5"]
    await events.end("a1")
    assert events.running[-1] == "a6"


async def test_each_route_has_its_share() -> None:
    """However many of one route are under way, another one may have its share, and no more than that."""
    events = Events(4, 2)
    await events.begin(*(f"a{number}" for number in range(10)), "b1", "b2", "b3")
    assert events.running == ["a0", "a1", "a2", "a3", "b1", "b2"]
    await events.end("b1")
    assert events.running[-1] == "b3"
    # What is over the bound is not filled again by whoever has more than a share.
    await events.end("a0")
    await events.end("a1")
    assert events.running == ["a2", "a3", "b2", "b3"]
    await events.end("b2")
    assert events.running == ["a2", "a3", "b3", "a4"]


async def test_the_route_with_the_fewest_has_the_next_turn() -> None:
    """Who waits longer, and has more under way, waits."""
    events = Events(3, 3)
    await events.begin("a1", "a2", "a3", "a4", "b1", "b2", "b3")
    assert events.running == ["a1", "a2", "a3", "b1"]
    await events.end("a1")
    await events.end("a2")
    assert events.running == ["a3", "b1", "a4"]
    await events.end("b1")
    assert events.running == ["a3", "a4", "b2"]


@pytest.mark.parametrize("routes", [1, 3, 100])
async def test_there_are_never_twice_as_many(routes: int) -> None:
    """With all routes at their worst the bound holds twice at most; each has one at least."""
    events = Events(10, routes)
    names = [f"{chr(1000 + route)}{number}" for route in range(routes) for number in range(15)]
    await events.begin(*names)
    most = 10 if routes == 1 else 20 if routes == 3 else 109
    assert 10 <= len(events.running) <= most


async def test_one_that_is_given_up_has_no_turn() -> None:
    """An event that is cancelled while it waits leaves its place to the next."""
    events = Events(1, 1)
    await events.begin("a1", "a2", "a3")
    waiting = events.tasks["a2"]
    assert events.turns.holds(waiting)
    waiting.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not events.turns.holds(waiting)
    events.turns.end("a")
    assert events.running == ["a1"]
    await events.end("a1")
    assert events.running == ["a3"]
