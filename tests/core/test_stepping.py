"""Tests of the stepper: coroutines that do not wait cost no task, and those that wait lose nothing."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from gateway.core.stepping import Stepper, as_coroutine

if TYPE_CHECKING:
    from collections.abc import Callable

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def from_callback(function: Callable[[], object]) -> asyncio.Future:
    """Call a function as the loop calls a protocol: outside every task."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def call() -> None:
        try:
            done.set_result(function())
        except Exception as exc:  # noqa: BLE001 - passed on to the test
            done.set_exception(exc)

    loop.call_soon(call)
    return done


@pytest.fixture
async def stepper() -> Stepper:
    """Give a stepper whose idle task has begun."""
    made = Stepper(asyncio.get_running_loop())
    await asyncio.sleep(0)
    yield made
    made.close()


async def test_coroutine_that_does_not_wait_makes_no_task(stepper) -> None:
    """It has ended when `start` returns, and no task was made for it."""
    ran = []

    async def quick() -> None:
        ran.append(asyncio.current_task())

    before = asyncio.all_tasks()
    assert await from_callback(lambda: stepper.start(quick())) is None
    assert await from_callback(lambda: stepper.start(quick())) is None
    assert len(ran) == 2
    assert ran[0] is ran[1]
    assert asyncio.all_tasks() == before


async def test_coroutine_that_waits_is_carried_on(stepper) -> None:
    """From its first wait on it is a task: the one that was current in its first step."""
    gate = asyncio.Event()
    seen = []

    async def waiting() -> str:
        seen.append(asyncio.current_task())
        await gate.wait()
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        return "result"

    task = await from_callback(lambda: stepper.start(waiting()))
    assert not task.done()
    gate.set()
    assert await task == "result"
    assert seen == [task, task]


async def test_many_wait_at_once(stepper) -> None:
    """Coroutines started in one turn of the loop each get their own task and result."""
    gate = asyncio.Event()

    async def waiting(index: int) -> int:
        await gate.wait()
        return index

    tasks = await from_callback(lambda: [stepper.start(waiting(index)) for index in range(10)])
    gate.set()
    assert await asyncio.gather(*tasks) == list(range(10))


async def test_exceptions(stepper) -> None:
    """An exception before the first wait comes out of `start`, a later one out of the task."""

    async def at_once() -> None:
        raise ValueError("at once")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    with pytest.raises(ValueError, match="at once"):
        await from_callback(lambda: stepper.start(at_once()))
    task = await from_callback(lambda: stepper.start(later()))
    with pytest.raises(ValueError, match="later"):
        await task


async def test_timeout_that_began_in_the_first_step(stepper) -> None:
    """`asyncio.timeout` works though it began before there was a task."""

    async def slow() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "never"

    task = await from_callback(lambda: stepper.start(slow()))
    assert await task == "timed out"


async def test_task_group_in_the_first_step(stepper) -> None:
    """A task group works, and its failure comes out."""

    async def fail() -> None:
        raise ValueError("inner")

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.Event().wait())

    task = await from_callback(lambda: stepper.start(group()))
    with pytest.raises(ExceptionGroup):
        await task


async def test_cancelling(stepper) -> None:
    """Cancelling the task reaches the coroutine where it waits."""
    heard = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    task = await from_callback(lambda: stepper.start(waiting()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]


async def test_coroutine_that_cancels_its_own_task_in_the_first_step(stepper) -> None:
    """It hears of it where it first waits, and the next coroutine is not touched by it."""

    async def own() -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def own_and_end() -> None:
        asyncio.current_task().cancel()

    async def quick() -> str:
        await asyncio.sleep(0)
        return "well"

    task = await from_callback(lambda: stepper.start(own()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await from_callback(lambda: stepper.start(own_and_end())) is None
    task = await from_callback(lambda: stepper.start(quick()))
    assert await task == "well"


async def test_context_variables(stepper) -> None:
    """Each coroutine has a context of its own, over its waits too; the next one sees nothing of it."""

    async def setter() -> str:
        token = variable.set("mine")
        await asyncio.sleep(0)
        value = variable.get()
        variable.reset(token)
        return value

    async def getter() -> str:
        return variable.get()

    async def set_and_end() -> None:
        variable.set("leaked")

    task = await from_callback(lambda: stepper.start(setter()))
    assert await task == "mine"
    await from_callback(lambda: stepper.start(set_and_end()))
    seen = []

    async def note() -> None:
        seen.append(variable.get())

    await from_callback(lambda: stepper.start(note()))
    assert seen == ["unset"]


async def test_start_within_a_task(stepper) -> None:
    """Called within a task, it makes a task of its own."""

    async def quick() -> str:
        return "result"

    assert await stepper.start(quick()) == "result"


async def test_as_coroutine_takes_any_awaitable() -> None:
    """A future is awaited as a coroutine is."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(3)
    assert await as_coroutine(future) == 3
