"""Tests of timers and tasks that end with their owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway import Connection, Handler
from gateway.core.owned import Owned

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def reports() -> list[BaseException]:
    """Give the list that failures go to."""
    return []


@pytest.fixture
async def owned(reports: list[BaseException]) -> Owned:
    """Give an owner of timers and tasks."""
    made = Owned(asyncio.get_running_loop(), reports.append)
    yield made
    made.close()


async def test_after_calls_once(owned: Owned, until: Callable) -> None:
    """A plain and an async function are called once, with their arguments."""
    calls: list[str] = []

    async def later(text: str) -> None:
        calls.append(text)

    owned.after(0, calls.append, ("plain",))
    owned.after(0, later, ("async",))
    await until(lambda: len(calls) == 2)
    assert sorted(calls) == ["async", "plain"]
    assert not owned._timers


async def test_every_calls_until_it_is_cancelled(owned: Owned, until: Callable) -> None:
    """A repeating timer goes on, and ends when cancelled."""
    calls: list[int] = []
    timer = owned.every(0.001, calls.append, (1,))
    await until(lambda: len(calls) >= 3)
    timer.cancel()
    count = len(calls)
    await asyncio.sleep(0.01)
    assert len(calls) == count


async def test_slow_calls_do_not_pile_up(owned: Owned, until: Callable) -> None:
    """While an async call waits, the calls that would follow are left out."""
    gate = asyncio.Event()
    begun: list[int] = []

    async def slow() -> None:
        begun.append(1)
        await gate.wait()

    ticks: list[int] = []
    owned.every(0.001, slow, ())
    owned.every(0.001, ticks.append, (1,))
    await until(lambda: len(ticks) > 5)
    assert len(begun) == 1
    gate.set()
    await until(lambda: len(begun) > 1)


async def test_failures_are_reported(owned: Owned, reports: list[BaseException], until: Callable) -> None:
    """What a timer or a task raises is reported; a repeating timer goes on."""

    async def fail() -> None:
        raise ValueError("task")

    def fail_plainly() -> None:
        raise ValueError("timer")

    owned.start_task(fail(), name="failing")
    timer = owned.every(0.001, fail_plainly, ())
    await until(lambda: len(reports) >= 3)
    timer.cancel()
    assert {str(report) for report in reports} == {"task", "timer"}


async def test_closing_cancels_everything(owned: Owned, until: Callable) -> None:
    """When the owner ends, its timers and tasks end."""
    calls: list[int] = []
    owned.every(0.001, calls.append, (1,))
    task = owned.start_task(asyncio.Event().wait(), name=None)
    owned.close()
    await until(task.cancelled)
    assert not owned._timers
    assert calls == []


class Ticker(Handler):
    """A handler that begins a timer and a task for each connection."""

    tasks: list[asyncio.Task]

    def on_open(self, connection: Connection) -> None:
        """Begin them."""
        connection.every(0.001, connection.send, "tick")
        type(self).tasks.append(connection.start_task(asyncio.Event().wait()))

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Fail in a background task."""
        connection.start_task(self._fail())

    async def _fail(self) -> None:
        raise ValueError("in the background")


async def test_they_end_with_their_connection(serve_gateway: Callable, until: Callable) -> None:
    """A connection's timer sends until the connection ends; its task is cancelled then."""
    handler = type("TickerOfTest", (Ticker,), {"tasks": []})
    yaml = "routes: [{path: /t, handlers: [ticker], allow_missing_origin: true}]"
    server = await serve_gateway(yaml, handlers={"ticker": handler})
    async with server.connect("/t") as client:
        assert [await client.recv() for _ in range(3)] == ["tick"] * 3
    await until(handler.tasks[0].cancelled)


async def test_failing_background_task_ends_its_connection(serve_gateway: Callable) -> None:
    """What a connection's task raises ends that connection with 1011, and is logged."""
    handler = type("TickerOfTest", (Ticker,), {"tasks": []})
    yaml = "routes: [{path: /t, handlers: [ticker], allow_missing_origin: true}]"
    server = await serve_gateway(yaml, handlers={"ticker": handler})
    async with server.connect("/t") as client:
        await client.send("fail")
        await client.wait_closed()
    assert client.close_code == 1011
    assert [line["event"] for line in server.log if line["level"] == "error"] == ["handler_failed"]
