"""A connection's events, raised with the handlers one at a time and in order, each within its deadline."""

from __future__ import annotations

from abc import abstractmethod
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.core.connection import Connection
from gateway.core.owned import Owned
from gateway.core.stepping import STUBBORN_SECONDS, as_coroutine
from gateway.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from gateway.core.deadlines import Deadlines

__all__ = ["EventConnection"]

_LEAST_GRACE_SECONDS: Final = 0.1  # for which a task that was cancelled may end in order


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
        except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: it ends this connection only
            self.handler_failed(exc)
            return
        if result is not None:
            self._waits_for(result)

    def _waits_for(self, result: Any, *, in_turn: bool = True) -> bool:
        """Start what an `async` event returned; tell whether it waits.

        Args:
            result: What it returned.
            in_turn: Whether it waits for its turn, where too many events are under way.
        """
        route = self._route
        try:
            if not isawaitable(result):
                return False
            coroutine = as_coroutine(result)
            if route.in_turn is not None and in_turn:
                coroutine = route.in_turn(coroutine)
            task = self.node.stepper.start(coroutine)
        except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: it ends this connection only
            self.handler_failed(exc)
            return False
        if task is None:
            return False
        self._task = task
        self._waiting = coroutine
        self.node.event_tasks[task] = self
        if route.dispatch.guard is not None:
            route.dispatch.guard.begin()
        self.begin_deadline()
        task.add_done_callback(self._event_ended)
        return True

    def awaits(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether an event of this connection is still waited for, and not given up."""
        return self._task is task

    def _event_ended(self, task: asyncio.Task[Any]) -> None:
        node = self.node
        late = node.late_events.pop(task, None)
        del node.event_tasks[task]
        if self._route.dispatch.guard is not None:
            self._route.dispatch.guard.end()
        if task is not self._task:
            if not task.cancelled():
                task.exception()  # nobody waits for it any more
            return
        if late is not None:
            node.deadlines(STUBBORN_SECONDS, EventConnection._event_stubborn).end(self)
        expired = self._waiting is None
        self._task = None
        self._waiting = None
        self.end_deadline()
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
            try:
                result = events[index](self, code, reason)
            except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: the others follow
                self.handler_failed(exc)
            else:
                if result is not None:
                    # Not in its turn: each end is told of, however long the events before it take.
                    self._waits_for(result, in_turn=False)

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
        guard = self._route.dispatch.guard_of(handler)
        if guard is not None:
            guard.fail(place)

    # Tasks in the background.

    def _make_owned(self) -> Owned:
        return Owned(self.node.loop, self.handler_failed, self.node.clock, self)

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str) -> None:
        """Have a task end with the connection that an event has begun by itself; as `Owned.adopt`."""
        owned = self._owner()
        owned.adopt(task, plugin, place)
        if owned.closed:
            self._end_tasks(owned)

    def _end_tasks(self, owned: Owned) -> None:
        """Let tasks that go on have their grace."""
        if owned.left():
            guards = self._route.dispatch.guards
            grace = max((guard.limits.task_grace_seconds for guard in guards), default=_LEAST_GRACE_SECONDS)
            self.node.clock.call_later(max(grace, _LEAST_GRACE_SECONDS), self._name_tasks, owned)

    def _name_tasks(self, owned: Owned) -> None:
        """Name what outlives the connection, and cancel it."""
        node = self.node
        for task, plugin, began in owned.left():
            waits = node.guards.owners.of_waiting(task.get_coro())
            whose = plugin or (waits.plugin if waits is not None else "")
            node.metrics.tasks_left[whose] += 1
            node.log.warning(
                "task_outlived_connection",
                logger="gateway.handlers",
                connection=self.id,
                route=self.route,
                user=self.user,
                plugin=whose,
                task=task.get_name(),
                where=None if waits is None else str(waits),
                began=began or None,
            )
            task.cancel()

    # Deadlines.

    @property
    def event_seconds(self) -> float:
        """How long an event may take on its route."""
        return self._route.event_seconds

    def begin_deadline(self, seconds: float | None = None) -> None:
        """Give the event that waits its time from now on.

        Args:
            seconds: Its time; `None` for that of the route.
        """
        self._event_deadlines(seconds).begin(self)

    def end_deadline(self, seconds: float | None = None) -> None:
        """Let a deadline go that was begun with the same seconds."""
        self._event_deadlines(seconds).end(self)

    def _event_deadlines(self, seconds: float | None) -> Deadlines[EventConnection]:
        if seconds is None:
            seconds = self._route.event_seconds
        return self.node.deadlines(seconds, EventConnection._event_late, self.node.clock)

    def refuse_event(self, reason: str) -> None:
        """End the connection with 1013: its event cannot be raised now."""
        self.fail(CloseCode.TRY_AGAIN_LATER, reason)

    def _event_late(self) -> None:
        task = self._task
        if task is None or self._waiting is None:
            return
        for guard in self._route.dispatch.guards:
            if guard.holds(task):
                self._waiting = None
                task.cancel()
                guard.turn_away_held(self)
                return
        metrics = self.node.metrics
        metrics.handler_timeouts += 1
        handler, place = self._route.dispatch.waiting(self._waiting)
        plugin = self._route.dispatch.plugin_of(handler)
        metrics.handler_failures[plugin, handler, "timeout"] += 1
        seconds = self._route.limits.handler_timeout_seconds
        limit = "handler_timeout_seconds"
        its = self._route.dispatch.guard_of(handler)
        if its is not None and (own := its.limits.event_timeout_seconds) is not None and own < seconds:
            seconds, limit = own, "event_timeout_seconds"
        metrics.limits[limit] += 1
        self._waiting = None
        self.node.late_events[task] = (plugin, handler, place)
        self.node.deadlines(STUBBORN_SECONDS, EventConnection._event_stubborn).begin(self)
        self.node.log.error(
            "handler_timeout",
            logger="gateway.handlers",
            connection=self.id,
            route=self.route,
            user=self.user,
            plugin=plugin,
            handler=handler,
            where=place,
            seconds=seconds,
        )
        task.cancel()
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")
        if its is not None:
            its.fail(place)

    def _event_stubborn(self) -> None:
        """Go on without an event that goes on though it was cancelled."""
        task = self._task
        if task is None:
            return
        plugin, handler, place = self.node.late_events[task]
        self.node.metrics.tasks_left[plugin] += 1
        self.node.log.error(
            "handler_does_not_end",
            logger="gateway.handlers",
            connection=self.id,
            route=self.route,
            plugin=plugin,
            handler=handler,
            where=place,
        )
        self._task = None
        self._go_on()
