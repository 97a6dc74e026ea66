"""A connection's events, raised with the handlers one at a time and in order, each within its deadline."""

from __future__ import annotations

from abc import abstractmethod
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from gateway.core.connection import Connection
from gateway.core.stepping import as_coroutine
from gateway.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from gateway.core.deadlines import Deadlines

__all__ = ["EventConnection"]


class EventConnection(Connection):
    """A connection that raises its events with its route's handlers.

    Its arguments are those of `Connection`.
    """

    __slots__ = ("_close_event", "_task", "_waiting")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._task: asyncio.Task[Any] | None = None
        """The event that waits; while it does, no other one is raised."""
        self._waiting: Coroutine[Any, Any, Any] | None = None
        """What that task runs; `None` too once it has run out of time."""
        self._close_event: tuple[int, str, int] | None = None
        """Code, reason, and how many handlers have heard of the end; `None` if there is no end to tell."""

    @abstractmethod
    def fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""

    @abstractmethod
    def _go_on(self) -> None:
        """Raise the events that were kept while one waited."""

    def _run(self, event: Any, *arguments: Any) -> None:
        try:
            result = event(*arguments)
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it ends this connection only
            self.handler_failed(exc)
            return
        if result is not None:
            self._waits_for(result)

    def _waits_for(self, result: Any) -> bool:
        """Start what an `async` event returned; tell whether it waits."""
        if not isawaitable(result):
            return False
        coroutine = as_coroutine(result)
        try:
            task = self.node.stepper.start(coroutine)
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it ends this connection only
            self.handler_failed(exc)
            return False
        if task is None:
            return False
        self._task = task
        self._waiting = coroutine
        self.node.event_tasks.add(task)
        self._handler_deadlines().begin(self)
        task.add_done_callback(self._event_ended)
        return True

    def _event_ended(self, task: asyncio.Task[Any]) -> None:
        expired = self._waiting is None
        self._task = None
        self._waiting = None
        self.node.event_tasks.discard(task)
        self._handler_deadlines().end(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.handler_failed(error)
        elif task.cancelled() and not expired:
            self.fail(CloseCode.INTERNAL_ERROR, "handler was cancelled")
        self._go_on()

    def _raise_close_event(self) -> None:
        """Raise the close event with one handler after the other, whatever each makes of it."""
        events = self._route.close_events
        while self._close_event is not None and self._task is None:
            code, reason, index = self._close_event
            if index == len(events):
                self._close_event = None
                return
            self._close_event = (code, reason, index + 1)
            self._run(events[index], self, code, reason)

    def handler_failed(self, error: BaseException) -> None:
        """End the connection with 1011 and log what a handler raised."""
        metrics = self.node.metrics
        metrics.handler_errors += 1
        handler, place = self._route.dispatch.culprit(error)
        plugin = self._route.dispatch.plugin_of(handler)
        metrics.handler_failures[plugin, handler, "error"] += 1
        self.node.log.error(
            "handler_failed",
            logger="gateway.handlers",
            connection=self.id,
            route=self.route,
            user=self.user,
            plugin=plugin,
            handler=handler,
            where=place,
            exc_info=error,
        )
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")

    def _handler_deadlines(self) -> Deadlines[EventConnection]:
        seconds = self._route.limits.handler_timeout_seconds
        return self.node.deadlines(seconds, EventConnection._event_late, self.node.clock)

    def _event_late(self) -> None:
        if self._task is None or self._waiting is None:
            return
        metrics = self.node.metrics
        metrics.handler_timeouts += 1
        metrics.limits["handler_timeout_seconds"] += 1
        handler, place = self._route.dispatch.waiting(self._waiting)
        plugin = self._route.dispatch.plugin_of(handler)
        metrics.handler_failures[plugin, handler, "timeout"] += 1
        self._waiting = None
        self.node.log.error(
            "handler_timeout",
            logger="gateway.handlers",
            connection=self.id,
            route=self.route,
            user=self.user,
            plugin=plugin,
            handler=handler,
            where=place,
            seconds=self._route.limits.handler_timeout_seconds,
        )
        self._task.cancel()
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")
