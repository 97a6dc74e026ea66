"""Threads for a plugin's functions that block."""

from __future__ import annotations

import contextvars
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Threads"]

LONG_SECONDS: Final = 5.0
"""For how long calls may wait for a thread before somebody is told."""
_AGAIN_SECONDS: Final = 10.0

_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any], Callable[..., Any]]"


class Threads:
    """The threads of one plugin. They are made when they are needed.

    The standard library's pool waits at the end of the process for every function to return, and so one that
    never does would keep the gateway from ending. These threads end with the process.

    Args:
        name: The plugin's name, for the threads' own.
        most: Most threads at once; further calls wait for one.
        loop: The event loop.
        held_up: Is called when calls have waited for a thread all the while for so long, again and again.
    """

    def __init__(
        self,
        name: str,
        most: int,
        loop: asyncio.AbstractEventLoop,
        held_up: Callable[[], object] | None = None,
    ) -> None:
        self._name = name
        self._most = most
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._calls = 0
        self._doing: dict[int, Callable[..., Any]] = {}
        self._held_up = held_up
        self._look: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """How many functions run."""
        return min(self._calls, self._threads)

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._calls - self.running

    def doing(self) -> list[tuple[FrameType, str]]:
        """Give where each thread is that runs a function, and the function's name."""
        frames = sys._current_frames()  # noqa: SLF001 - there is no other way
        return [(frames[ident], _name(each)) for ident, each in tuple(self._doing.items()) if ident in frames]

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function in a thread, within a copy of the caller's context; give what it gives.

        A call that is cancelled before a thread takes it is not made. One that is under way goes on, and what
        it gives is thrown away.
        """
        context = contextvars.copy_context()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls += 1
        self._jobs.put((future, lambda: context.run(function, *args, **kwargs), function))
        if self._threads < min(self._calls, self._most):
            self._threads += 1
            threading.Thread(target=self._work, name=f"gateway {self._name}", daemon=True).start()
        if self._held_up is not None and self._look is None and self.waiting:
            self._look = self._loop.call_later(LONG_SECONDS, self._tell)
        return future

    def _tell(self) -> None:
        self._look = self._loop.call_later(_AGAIN_SECONDS, self._tell)
        if self._held_up is not None:
            self._held_up()

    def close(self) -> None:
        """Have the threads end with what they do now."""
        self._look_no_more()
        for _ in range(self._threads):
            self._jobs.put(None)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _work(self) -> None:
        ident = threading.get_ident()
        while (job := self._jobs.get()) is not None:
            future, call, function = job
            result = error = None
            if not future.cancelled():
                self._doing[ident] = function
                try:
                    result = call()
                except BaseException as exc:  # noqa: BLE001 - a plugin's code: raised where it is awaited
                    error = exc
                del self._doing[ident]
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._loop.call_soon_threadsafe(self._ended, future, result, error)
            del job, future, call, function, result, error

    def _ended(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._calls -= 1
        if not self.waiting:
            self._look_no_more()
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError("a function in a thread raised StopIteration"))
        else:
            future.set_exception(error)


def _name(function: Callable[..., Any]) -> str:
    """Give a function's name; of `asyncio.to_thread` that of what it was given."""
    while isinstance(function, partial):
        inner = function.args[0] if function.args and callable(function.args[0]) else None
        function = function.func if inner is None else inner
    module = getattr(function, "__module__", None) or "builtins"
    return f"{module}.{getattr(function, '__qualname__', type(function).__name__)}"
