"""Timers and tasks that end with their owner: a connection, or a node."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from gateway.core.stepping import contained
from gateway.core.strays import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.core.clock import Call, Timers
    from gateway.core.event_connection import EventConnection

__all__ = ["RAISING", "Owned", "Timer"]


class Timer:
    """A call in the future, once or again and again.

    Args:
        owned: What it ends with.
        seconds: From now to the call, and from one call to the next.
        repeat: Whether it goes on after the first call.
        callback: A plain or an `async` function.
        args: Its arguments.
    """

    __slots__ = ("_args", "_callback", "_handle", "_owned", "_repeat", "_seconds", "_task")

    def __init__(
        self, owned: Owned, seconds: float, repeat: bool, callback: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        self._owned = owned
        self._seconds = seconds
        self._repeat = repeat
        self._callback = callback
        self._args = args
        self._task: asyncio.Task[Any] | None = None
        self._handle: Call | None = None
        if not owned.closed:
            self._handle = owned.timers.call_later(seconds, self._fire)

    def cancel(self) -> None:
        """Call no more. An `async` call that is under way goes on."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._owned.forget(self)

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False) -> None:
        """Have a task end with the owner that a call has begun by itself; as `Owner.adopt`."""
        self._owned.connection_adopts(task, plugin, place, kept=kept)

    def _fire(self) -> None:
        self._handle = None
        if self._repeat:
            self._handle = self._owned.timers.call_later(self._seconds, self._fire)
        else:
            self._owned.forget(self)
        if self._task is not None and not self._task.done():
            return  # the last call still waits: this one is left out, so that calls do not pile up
        try:
            result = self._callback(*self._args)
        except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: reported, and the gateway goes on
            self._owned.report(exc)
            return
        if asyncio.iscoroutine(result):
            self._task = self._owned.start_task(result, name=None)


RAISING: Final = frozenset({Timer._fire.__code__})  # noqa: SLF001
"""What makes timers' calls: on a stack it tells whose call it is."""


class Owned:
    """The timers and tasks of one owner. What is begun after its end, never runs.

    Args:
        loop: The event loop.
        report: Called with the exception of a callback or task that failed.
        timers: What makes the calls; `None` for the event loop.
        connection: The owner, if it is a connection.
    """

    __slots__ = ("_connection", "_strays", "_tasks", "_timers", "closed", "loop", "report", "timers")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[BaseException], None],
        timers: Timers | None = None,
        connection: EventConnection | None = None,
    ) -> None:
        self.loop = loop
        self._connection = connection
        self._strays: dict[asyncio.Task[Any], tuple[str, str, bool]] = {}
        """Tasks that were not begun here, and yet are the owner's: their plugins, where they began, whether a
        library keeps them."""
        self.timers: Timers = loop if timers is None else timers
        self.report = report
        self.closed = False
        self._timers: set[Timer] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def after(self, seconds: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> Timer:
        """Call once, later."""
        return self._keep(Timer(self, seconds, False, callback, args))

    def every(self, seconds: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> Timer:
        """Call again and again; a call is left out while an `async` one before it still waits."""
        return self._keep(Timer(self, seconds, True, callback, args))

    def _keep(self, timer: Timer) -> Timer:
        if not self.closed:
            self._timers.add(timer)
        return timer

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None) -> asyncio.Task[Any]:
        """Run a coroutine in the background."""
        if not asyncio.iscoroutine(coroutine):
            raise TypeError(f"not a coroutine: {type(coroutine).__name__}")
        context = copy_context()
        context.run(owner.set, self._connection)
        task = self.loop.create_task(contained(coroutine), name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if self.closed:
            task.cancel()
        return task

    def forget(self, timer: Timer) -> None:
        """Keep a timer no longer."""
        self._timers.discard(timer)

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False) -> None:
        """Have a task end with the owner that somebody else has begun; as `Owner.adopt`."""
        self._strays[task] = (plugin, place, kept)
        task.add_done_callback(self._stray_ended)

    def connection_adopts(
        self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False
    ) -> None:
        """Have a task end with the connection that owns this; those of a node end with the process."""
        if self._connection is not None:
            self._connection.adopt(task, plugin, place, kept=kept)

    def left(self) -> list[tuple[asyncio.Task[Any], str, str, bool]]:
        """Give the tasks that have not ended: the task, its plugin, where it began, and whether it is kept.

        Plugin and place are empty if it was begun here.
        """
        found = [(task, "", "", False) for task in self._tasks if not task.done()]
        return found + [(task, *origin) for task, origin in self._strays.items() if not task.done()]

    def let_go(self, task: asyncio.Task[Any]) -> None:
        """Know nothing of an adopted task any more, which may outlive the owner for long."""
        task.remove_done_callback(self._stray_ended)
        self._strays.pop(task, None)

    def close(self) -> None:
        """Cancel every timer and task, and those that come later; adopted ones are the owner's business."""
        self.closed = True
        for timer in tuple(self._timers):
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report(error)

    def _stray_ended(self, task: asyncio.Task[Any]) -> None:
        self._strays.pop(task, None)
