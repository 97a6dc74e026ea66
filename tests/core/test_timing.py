"""Tests of the time that handlers take: what is timed, and that the rest goes its plain way."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import HANDLED, Handler
from gateway.config.models import RouteConfig
from gateway.core.dispatch import Dispatch
from gateway.core.route import Route
from gateway.core.timing import Sampler, timed
from gateway.observe.histogram import Histogram
from gateway.observe.metrics import Metrics
from gateway.protocol.origin import OriginPolicy


class Plain(Handler):
    """A handler with every event."""

    def on_open(self, connection: Any) -> None:
        """Do nothing."""

    def on_message(self, connection: Any, message: str) -> Any:
        """Say that it is handled, or fail."""
        if message == "fail":
            raise ZeroDivisionError
        return HANDLED

    def on_close(self, connection: Any, code: int, reason: str) -> None:
        """Do nothing."""


def make_route(*handlers: tuple[str, Handler[Any]]) -> Route:
    """Give a route."""
    config = RouteConfig.model_validate({"path": "/t"})
    dispatch = Dispatch(handlers, {name: f"plugin-{name}" for name, _ in handlers})
    return Route(config, dispatch, OriginPolicy.from_config(None, missing=True), ())


def test_a_plain_call_is_timed() -> None:
    """The call is made with its arguments, its result comes back, and its time is one observation."""
    seconds = Histogram((0.5, 1.0))
    assert timed(lambda one, two: one + two, seconds)(1, 2) == 3
    assert seconds.counts == [1, 0, 0]
    assert 0 < seconds.total < 0.5


async def test_a_wait_is_timed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an async event waits for belongs to its time; before the end nothing is counted."""
    now = [100.0]
    monkeypatch.setattr("gateway.core.timing.perf_counter", lambda: now[0])
    seconds = Histogram((0.5, 1.0))
    gate = asyncio.Event()

    async def method() -> str:
        await gate.wait()
        return "done"

    task = asyncio.ensure_future(timed(method, seconds)())
    await asyncio.sleep(0)
    assert seconds.counts == [0, 0, 0]
    now[0] += 0.75
    gate.set()
    assert await task == "done"
    assert (seconds.counts, seconds.total) == ([0, 1, 0], 0.75)


async def test_failures_are_timed_and_passed_on() -> None:
    """An event that raises has taken its time as well, a plain one and one that waits."""
    seconds = Histogram((0.5,))

    def fail() -> None:
        raise ZeroDivisionError

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        timed(fail, seconds)()
    with pytest.raises(ZeroDivisionError):
        await timed(fail_later, seconds)()
    assert seconds.counts == [2, 0]


def test_a_route_that_is_watched() -> None:
    """Opening and closing events are all timed, by plugin, handler and event; messages are not yet."""
    metrics = Metrics()
    route = make_route(("a", Plain(None)), ("b", Plain(None)))
    plain = route.message_event
    sampler = route.watch(metrics)
    assert sampler is not None
    assert route.message_event is plain
    route.open_event(SimpleNamespace(is_open=True))
    for close in route.close_events:
        close(None, 1000, "")
    route.message_event(None, "m")
    counts = {key: sum(found.counts) for key, found in metrics.handler_seconds.items()}
    assert counts == {
        ("plugin-a", "a", "open"): 1,
        ("plugin-a", "a", "close"): 1,
        ("plugin-a", "a", "message"): 0,
        ("plugin-b", "b", "open"): 1,
        ("plugin-b", "b", "close"): 1,
        ("plugin-b", "b", "message"): 0,
    }


def test_nothing_to_time() -> None:
    """A route whose handlers take no messages has nothing that could be sampled."""
    assert make_route(("none", Handler(None))).watch(Metrics()) is None


def test_one_message_is_timed_each_time() -> None:
    """One of the next sixteen is timed, then all go the plain way again; whoever kept the call, too."""
    metrics = Metrics()
    route = make_route(("a", Plain(None)))
    plain = route.message_event
    sampler = route.watch(metrics)
    assert sampler is not None
    seconds = metrics.handler_seconds["plugin-a", "a", "message"]
    for round_ in range(1, 20):
        sampler.arm()
        kept = route.message_event
        assert kept is not plain
        sampler.arm()  # a tick that comes before a message changes nothing
        for _ in range(16):
            assert route.message_event(None, "m") is HANDLED
        assert route.message_event is plain
        assert sum(seconds.counts) == round_
        assert kept(None, "m") is HANDLED
        assert sum(seconds.counts) == round_


def test_each_of_a_read_is_timed_now_and_then() -> None:
    """Of sixteen messages in one read, which keeps the call that it began with, any may be the timed one."""
    calls: list[int] = []
    route = SimpleNamespace(message_event=lambda *_: None)
    sampler = Sampler(route, lambda _, place: calls.append(place))
    for _ in range(1000):
        sampler.arm()
        kept = route.message_event
        for place in range(16):
            kept(None, place)
    assert len(calls) == 1000
    assert set(calls) == set(range(16))


def test_a_failing_message_disarms_too() -> None:
    """An event that raises is timed, raises, and the next message goes the plain way."""
    metrics = Metrics()
    route = make_route(("a", Plain(None)))
    plain = route.message_event
    sampler = route.watch(metrics)
    assert sampler is not None
    sampler.arm()
    while route.message_event is not plain:
        with pytest.raises(ZeroDivisionError):
            route.message_event(None, "fail")
    assert sum(metrics.handler_seconds["plugin-a", "a", "message"].counts) == 1
