"""Threads for a plugin's functions that block."""

from __future__ import annotations

import contextvars
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Threads"]

_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any]]"


class Threads:
    """The threads of one plugin. They are made when they are needed.

    The standard library's pool waits at the end of the process for every function to return, and so one that
    never does would keep the gateway from ending. These threads end with the process.

    Args:
        name: The plugin's name, for the threads' own.
        most: Most threads at once; further calls wait for one.
        loop: The event loop.
    """

    def __init__(self, name: str, most: int, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._most = most
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._calls = 0

    @property
    def running(self) -> int:
        """How many functions run."""
        return min(self._calls, self._threads)

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._calls - self.running

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function in a thread, within a copy of the caller's context; give what it gives.

        A call that is cancelled before a thread takes it is not made. One that is under way goes on, and what
        it gives is thrown away.
        """
        context = contextvars.copy_context()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls += 1
        self._jobs.put((future, lambda: context.run(function, *args, **kwargs)))
        if self._threads < min(self._calls, self._most):
            self._threads += 1
            threading.Thread(target=self._work, name=f"gateway {self._name}", daemon=True).start()
        return future

    def close(self) -> None:
        """Have the threads end with what they do now."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            result = error = None
            if not future.cancelled():
                try:
                    result = call()
                except BaseException as exc:  # noqa: BLE001 - a plugin's code: raised where it is awaited
                    error = exc
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._loop.call_soon_threadsafe(self._ended, future, result, error)
            del job, future, call, result, error

    def _ended(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._calls -= 1
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError("a function in a thread raised StopIteration"))
        else:
            future.set_exception(error)
