"""Who came, who went, who is another than before: told to the handlers whose connections are in the group."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.core.breaker import Phase
from gateway.core.stepping import STUBBORN_SECONDS, as_coroutine, contained
from gateway.core.strays import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.core.connection import Connection
    from gateway.core.culprits import Culprits
    from gateway.core.guard import Guard
    from gateway.core.node import Node
    from gateway.core.presence_group import GroupPresence, Here
    from gateway.core.route import Route

__all__ = ["PresenceEvents"]

_TURN_SECONDS: Final = 0.005  # for which events may hold up one turn of the loop


class _Told(NamedTuple):
    """Who is told of something in a group."""

    route: Route
    handler: str
    guard: Guard | None
    group: str

    @property
    def plugin(self) -> str:
        return self.route.dispatch.plugin_of(self.handler)


class PresenceEvents:
    """The presence events of this node's handlers.

    They are raised in the next turn of the loop, so that whoever joins can be described first, and one that
    comes and goes within a turn is not told.

    Args:
        node: The node.
    """

    __slots__ = ("_listening", "_marked", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._marked: dict[Here, None] = {}
        self._listening = False

    def listen(self, connection: Connection) -> None:
        """Take notice of a connection whose handlers may want the events."""
        if connection._route.dispatch.hears_presence:  # noqa: SLF001
            self._listening = True

    def mark(self, here: Here) -> None:
        """Have a member looked at that came, went or changed."""
        if not self._marked:
            self._node.loop.call_soon(self._raise_marked)
        self._marked[here] = None

    def _raise_marked(self) -> None:
        until = time.perf_counter() + _TURN_SECONDS
        while self._marked:
            here = next(iter(self._marked))
            del self._marked[here]
            self.settle(here)
            if self._marked and time.perf_counter() > until:
                self._node.loop.call_soon(self._raise_marked)
                return

    def settle_group(self, group: GroupPresence) -> None:
        """Raise the events of a group that wait."""
        for here in [here for here in self._marked if here.group is group]:
            del self._marked[here]
            self.settle(here)

    def settle(self, here: Here) -> None:
        """Raise the event that a member's handlers wait for, if there is one."""
        told = here.told
        card = here.told = here.card if here.present else None
        if not self._listening or told == card:
            return
        if told is None:
            self._raise(here, "joins", here.member())
        elif card is None:
            self._raise(here, "leaves", here.member())
        else:
            self._raise(here, "changes", here.member(), here.member(told))

    def _raise(self, here: Here, event: str, *arguments: Any) -> None:
        group = here.group.name
        routes: dict[Route, list[Connection]] = {}
        for connection in self._node.hub.members(group):
            routes.setdefault(connection._route, []).append(connection)  # noqa: SLF001
        for route, connections in routes.items():
            methods = getattr(route.dispatch, event)
            for method, handler in zip(methods, route.dispatch.presence_handlers[event], strict=True):
                told = _Told(route, handler, route.dispatch.guard_of(handler), group)
                # While a plugin is stopped it hears of nothing; what it hears then is no trial.
                if told.guard is None or told.guard.breaker.phase in {Phase.WORKING, Phase.WAITING}:
                    self._call(told, method, group, *arguments, tuple(connections))

    def _call(self, told: _Told, method: Callable[..., Any], *arguments: Any) -> None:
        try:
            result = method(*arguments)
            if not isawaitable(result):
                return
        except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: reported, and the gateway goes on
            self._failed(told, exc)
            return
        self._node.start_task(self._wait(told, as_coroutine(result)))

    async def _wait(self, told: _Told, result: Coroutine[Any, Any, Any]) -> None:
        event = self._finish(told, result)
        await (event if told.guard is None else told.guard.among_others(None, event, route=told.route.name))

    async def _finish(self, told: _Told, result: Coroutine[Any, Any, Any]) -> None:
        """Run an event to its end, or cancel it when its time is over, and go on without it if it goes on."""
        guard = told.guard
        seconds = told.route.limits.handler_timeout_seconds
        if guard is not None and guard.limits.event_timeout_seconds is not None:
            seconds = min(seconds, guard.limits.event_timeout_seconds)
        context = copy_context()
        context.run(owner.set, self)
        task = asyncio.Task(contained(result), loop=self._node.loop, context=context)
        try:
            await asyncio.wait((task,), timeout=seconds)
            if not task.done():
                place = self._late(told, result)
                task.cancel()
                await asyncio.wait((task,), timeout=STUBBORN_SECONDS)
                if not task.done():
                    self._stubborn(told, place)
            elif not task.cancelled() and (error := task.exception()) is not None:
                self._failed(told, error)
        finally:
            task.cancel()

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False) -> None:
        """Have a task named and cancelled that an event has begun by itself, when it has long outlived it.

        The arguments are those of `Owner.adopt`.
        """
        guard = self._node.guards.of(plugin)
        longest = max((route.event_seconds for route in guard.routes), default=0.0)
        self._node.clock.call_later(
            longest + guard.limits.task_grace_seconds, self._name_task, task, plugin, place, kept
        )

    def _name_task(self, task: asyncio.Task[Any], plugin: str, place: str, kept: bool) -> None:
        if task.done():
            return
        if kept:
            self._node.guards.kept_tasks.add(task, plugin, place)
            return
        waits = self._node.guards.owners.of_waiting(task.get_coro())
        self._node.metrics.tasks_left[plugin] += 1
        self._node.log.warning(
            "task_outlived_event",
            logger="gateway.handlers",
            plugin=plugin,
            task=task.get_name(),
            where=None if waits is None else str(waits),
            began=place,
        )
        task.cancel()

    def _failed(self, told: _Told, error: BaseException) -> None:
        self._node.metrics.handler_errors += 1
        self._tell(told, lambda culprits: culprits.of_event(error, told.handler), "error", exc_info=error)

    def _late(self, told: _Told, event: Coroutine[Any, Any, Any]) -> str:
        self._node.metrics.handler_timeouts += 1
        return self._tell(told, lambda culprits: culprits.of_waiting(event, told.handler), "timeout")

    def _tell(self, told: _Told, find: Callable[[Culprits], tuple[str, str]], kind: str, **more: Any) -> str:
        """Count and log an event that has failed; give the place."""
        place = ""
        self._node.metrics.handler_failures[told.plugin, told.handler, kind] += 1
        try:
            _, place = find(told.route.dispatch.culprits)
            self._log("handler_timeout" if kind == "timeout" else "handler_failed", told, where=place, **more)
        except BaseException as exc:  # noqa: BLE001 - an error can be such that it cannot be shown
            with suppress(BaseException):
                self._log("failure_not_told", told, exc_info=exc)
        if told.guard is not None:
            told.guard.fail(place)
        return place

    def _stubborn(self, told: _Told, place: str) -> None:
        self._node.metrics.tasks_left[told.plugin] += 1
        self._log("handler_does_not_end", told, where=place)

    def _log(self, event: str, told: _Told, **more: Any) -> None:
        self._node.log.error(
            event,
            logger="gateway.handlers",
            group=told.group,
            route=told.route.name,
            plugin=told.plugin,
            handler=told.handler,
            **more,
        )


RAISING: Final = frozenset({PresenceEvents._call.__code__})  # noqa: SLF001
"""The function that raises them: on a stack it tells that there is no connection whose event it is."""
