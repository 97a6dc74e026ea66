"""Running a handler's coroutine: stepped by hand, and a task only if it really waits."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

__all__ = ["STUBBORN_SECONDS", "HandlerExit", "Stepper", "as_coroutine", "contained"]

STUBBORN_SECONDS: Final = 5.0
"""For how long an event may go on that was cancelled, before it is given up."""


class HandlerExit(RuntimeError):
    """A plugin's code has tried to end the process, by `sys.exit` or the like.

    From a task that would get through the event loop, and end the gateway.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")


class _Contained(Coroutine[Any, Any, Any]):
    """A plugin's coroutine whose exits are errors.

    It is no `async` function around the coroutine: one that is cancelled before its first step would leave
    the coroutine neither run nor closed.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # what tells where it waits, and its name

    def __repr__(self) -> str:
        return repr(self._coroutine)

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise HandlerExit(exc).with_traceback(exc.__traceback__) from None

    def throw(self, *error: Any) -> Any:
        try:
            return self._coroutine.throw(*error)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise HandlerExit(exc).with_traceback(exc.__traceback__) from None

    def close(self) -> None:
        self._coroutine.close()


def contained(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Give a coroutine that is a plugin's, with a `HandlerExit` for an exit."""
    return _Contained(coroutine)


def as_coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """Give the coroutine that awaits an awaitable; a coroutine itself comes back as it is."""
    if asyncio.iscoroutine(awaitable):
        return awaitable

    async def wait() -> Any:
        return await awaitable

    return wait()


class _Carrier:
    """A task that has begun and idles, ready to carry a coroutine on from its first wait."""

    __slots__ = ("_ready", "context", "coroutine", "mailbox", "task", "yielded")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        self.context: contextvars.Context | None = None
        self.yielded: Any = None
        self.mailbox: asyncio.Future[None] = loop.create_future()
        self._ready = False
        # Not by the loop, which may look at who makes a task.
        self.task = asyncio.Task(self._carry(), loop=loop, name="gateway handler")

    @property
    def ready(self) -> bool:
        """Whether the task has reached its wait, so that it can be handed a coroutine."""
        return self._ready and not self.mailbox.done()

    async def _carry(self) -> Any:
        self._ready = True
        cancelled: BaseException | None = None
        try:
            await self.mailbox
        except asyncio.CancelledError as exc:
            # The coroutine cancelled its own task in its first step; it hears of it where it waits.
            if self.coroutine is None:
                raise
            cancelled = exc
        return await _Resumed(self, cancelled)


class _Resumed:
    """The rest of a coroutine whose first step was made by hand."""

    __slots__ = ("_carrier", "_thrown")

    def __init__(self, carrier: _Carrier, thrown: BaseException | None) -> None:
        self._carrier = carrier
        self._thrown = thrown

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._carrier.coroutine
        context = self._carrier.context
        yielded = self._carrier.yielded
        assert coroutine is not None  # noqa: S101 - set before the mailbox is opened
        assert context is not None  # noqa: S101
        thrown = self._thrown
        while True:
            value: Any = None
            if thrown is None:
                try:
                    value = yield yielded
                except BaseException as exc:  # noqa: BLE001 - passed on to the coroutine, cancellation too
                    thrown = exc
            try:
                if thrown is None:
                    yielded = context.run(coroutine.send, value)
                else:
                    error, thrown = thrown, None
                    yielded = context.run(coroutine.throw, error)
            except StopIteration as stop:
                return stop.value
            except (SystemExit, KeyboardInterrupt) as exc:
                raise HandlerExit(exc).with_traceback(exc.__traceback__) from None


class Stepper:
    """The runner of handlers' coroutines.

    Most coroutines of handlers end without waiting, and a task for each would cost 6 µs. So the first
    step is made by hand, within an idle task that stands for the current one: `asyncio.current_task`,
    `asyncio.timeout` and task groups work in it as ever. Only a coroutine that really waits takes the
    idle task over, and a new one is made. Costs 0.8 µs for a coroutine that does not wait.

    Args:
        loop: The event loop of the node.
    """

    __slots__ = ("_carrier", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._carrier = _Carrier(loop)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Run a coroutine as far as it goes.

        Returns:
            The task that carries it on, or `None` if it has ended.

        Raises:
            Exception: Whatever the coroutine raises before its first wait.
        """
        carrier = self._carrier
        if not carrier.ready or asyncio.current_task(self._loop) is not None:
            if carrier.task.done():
                self._carrier = _Carrier(self._loop)
            return self._loop.create_task(contained(coroutine))
        context = contextvars.copy_context()
        task = carrier.task
        _enter_task(self._loop, task)
        try:
            yielded = context.run(coroutine.send, None)
        except StopIteration:
            yielded = None
            carrying = False
        else:
            carrying = True
        finally:
            _leave_task(self._loop, task)
        if not carrying:
            if task.cancelling():
                self._carrier = _Carrier(self._loop)
            return None
        carrier.coroutine = coroutine
        carrier.context = context
        carrier.yielded = yielded
        if not carrier.mailbox.done():
            carrier.mailbox.set_result(None)
        self._carrier = _Carrier(self._loop)
        return task

    def close(self) -> None:
        """Let the idle task go."""
        self._carrier.task.cancel()
