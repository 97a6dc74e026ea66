"""A connection's events, raised with the handlers one at a time and in order, each within its deadline."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.core.connection import Connection
from gateway.core.owned import Owned
from gateway.core.stepping import STUBBORN_SECONDS, as_coroutine
from gateway.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from gateway.core.culprits import Culprits
    from gateway.core.deadlines import Deadlines
    from gateway.core.guard import Guard

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
            route.dispatch.guard.begin(route.name)
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
            self._route.dispatch.guard.end(self._route.name)
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

    @property
    def _hears_of_end(self) -> str | None:
        """The handler whose close event is under way; `None` if none is."""
        event = self._close_event
        return self._route.dispatch.close_handlers[event[2] - 1] if event is not None and event[2] else None

    def handler_failed(self, error: BaseException) -> None:
        """End the connection with 1011 and log what a handler's event raised."""
        self._failed(error, lambda culprits: culprits.of_event(error, self._hears_of_end))

    def _task_failed(self, error: BaseException) -> None:
        self._failed(error, lambda culprits: culprits.of_task(error))

    def _failed(self, error: BaseException, find: Callable[[Culprits], tuple[str, str]]) -> None:
        node, dispatch = self.node, self._route.dispatch
        node.metrics.handler_errors += 1
        handler = place = ""
        try:
            handler, place = find(dispatch.culprits)
            plugin = dispatch.plugin_of(handler)
            node.metrics.handler_failures[plugin, handler, "error"] += 1
            node.log.error(
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
        except BaseException as exc:  # noqa: BLE001 - an error can be such that it cannot be shown
            self._not_told(exc)
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")
        guard = dispatch.guard_of(handler)
        if guard is not None:
            guard.fail(place)

    def _not_told(self, error: BaseException) -> None:
        """Log why a failure could not be told."""
        with suppress(BaseException):
            self.node.log.error(
                "failure_not_told",
                logger="gateway.handlers",
                connection=self.id,
                route=self.route,
                exc_info=error,
            )

    # Tasks in the background.

    def _make_owned(self) -> Owned:
        return Owned(self.node.loop, self._task_failed, self.node.clock, self)

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False) -> None:
        """Have a task end with the connection that an event has begun by itself; as `Owner.adopt`."""
        owned = self._owner()
        owned.adopt(task, plugin, place, kept=kept)
        if owned.closed:
            self._end_tasks(owned)

    def _end_tasks(self, owned: Owned) -> None:
        """Let tasks that go on have their grace."""
        if owned.left():
            guards = self._route.dispatch.guards
            grace = max((guard.limits.task_grace_seconds for guard in guards), default=_LEAST_GRACE_SECONDS)
            self.node.clock.call_later(max(grace, _LEAST_GRACE_SECONDS), self._name_tasks, owned)

    def _name_tasks(self, owned: Owned) -> None:
        """Name what outlives the connection, and cancel it, unless a library keeps it."""
        node = self.node
        for task, plugin, began, kept in owned.left():
            if kept:
                owned.let_go(task)
                node.guards.kept_tasks.add(task, plugin, began, connection=self.id, route=self.route)
                continue
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
        its = self._tell_late(task, self._waiting)
        self._waiting = None
        self.node.deadlines(STUBBORN_SECONDS, EventConnection._event_stubborn).begin(self)
        task.cancel()
        self.fail(CloseCode.INTERNAL_ERROR, "internal error")
        if its is not None:
            its.fail(self.node.late_events[task][2])

    def _tell_late(self, task: asyncio.Task[Any], event: Coroutine[Any, Any, Any]) -> Guard | None:
        """Count and log an event that waits too long; give the guard of its plugin."""
        node, dispatch = self.node, self._route.dispatch
        node.metrics.handler_timeouts += 1
        node.late_events[task] = ("", "", "")
        its = None
        try:
            handler, place = dispatch.culprits.of_waiting(event, self._hears_of_end)
            plugin = dispatch.plugin_of(handler)
            node.late_events[task] = (plugin, handler, place)
            node.metrics.handler_failures[plugin, handler, "timeout"] += 1
            seconds = self._route.limits.handler_timeout_seconds
            limit = "handler_timeout_seconds"
            its = dispatch.guard_of(handler)
            if its is not None and (own := its.limits.event_timeout_seconds) is not None and own < seconds:
                seconds, limit = own, "event_timeout_seconds"
            node.metrics.limits[limit] += 1
            node.log.error(
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
        except BaseException as exc:  # noqa: BLE001 - whatever is in the way, the event has to end
            self._not_told(exc)
        return its

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
