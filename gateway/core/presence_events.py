"""Who came, who went, who is another than before: told to the handlers whose connections are in the group."""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.core.breaker import Phase
from gateway.core.stepping import STUBBORN_SECONDS, as_coroutine, contained
from gateway.core.strays import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.core.connection import Connection
    from gateway.core.guard import Guard
    from gateway.core.node import Node
    from gateway.core.presence_group import GroupPresence, Here
    from gateway.core.route import Route

__all__ = ["PresenceEvents"]

_TURN_SECONDS: Final = 0.005  # for which events may hold up one turn of the loop


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
            for method, guard in zip(methods, route.dispatch.presence_guards[event], strict=True):
                # While a plugin is stopped it hears of nothing; what it hears then is no trial.
                if guard is None or guard.breaker.phase in {Phase.WORKING, Phase.WAITING}:
                    self._call(route, guard, method, group, *arguments, tuple(connections))

    def _call(
        self, route: Route, guard: Guard | None, method: Callable[..., Any], group: str, *arguments: Any
    ) -> None:
        try:
            result = method(group, *arguments)
            if not isawaitable(result):
                return
        except BaseException as exc:  # noqa: BLE001 - a plugin's code, exits too: reported, and the gateway goes on
            self._failed(route, group, exc)
            return
        self._node.start_task(self._wait(route, guard, group, as_coroutine(result)))

    async def _wait(
        self, route: Route, guard: Guard | None, group: str, result: Coroutine[Any, Any, Any]
    ) -> None:
        event = self._finish(route, guard, group, result)
        await (event if guard is None else guard.among_others(None, event))

    async def _finish(
        self, route: Route, guard: Guard | None, group: str, result: Coroutine[Any, Any, Any]
    ) -> None:
        """Run an event to its end, or cancel it when its time is over, and go on without it if it goes on."""
        seconds = route.limits.handler_timeout_seconds
        if guard is not None and guard.limits.event_timeout_seconds is not None:
            seconds = min(seconds, guard.limits.event_timeout_seconds)
        context = copy_context()
        context.run(owner.set, self)
        task = asyncio.Task(contained(result), loop=self._node.loop, context=context)
        try:
            await asyncio.wait((task,), timeout=seconds)
            if not task.done():
                place = self._late(route, group, result)
                task.cancel()
                await asyncio.wait((task,), timeout=STUBBORN_SECONDS)
                if not task.done():
                    self._stubborn(route, group, place)
            elif not task.cancelled() and (error := task.exception()) is not None:
                self._failed(route, group, error)
        finally:
            task.cancel()

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str) -> None:
        """Have a task named and cancelled that an event has begun by itself, when it has long outlived it."""
        guard = self._node.guards.of(plugin)
        longest = max((route.event_seconds for route in guard.routes), default=0.0)
        self._node.clock.call_later(
            longest + guard.limits.task_grace_seconds, self._name_task, task, plugin, place
        )

    def _name_task(self, task: asyncio.Task[Any], plugin: str, place: str) -> None:
        if task.done():
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

    def _failed(self, route: Route, group: str, error: BaseException) -> None:
        self._node.metrics.handler_errors += 1
        handler, place = route.dispatch.culprit(error)
        self._tell(route, group, handler, place, "error", exc_info=error)

    def _late(self, route: Route, group: str, event: Coroutine[Any, Any, Any]) -> tuple[str, str]:
        self._node.metrics.handler_timeouts += 1
        handler, place = route.dispatch.waiting(event)
        self._tell(route, group, handler, place, "timeout")
        return handler, place

    def _tell(self, route: Route, group: str, handler: str, place: str, kind: str, **more: Any) -> None:
        plugin = route.dispatch.plugin_of(handler)
        self._node.metrics.handler_failures[plugin, handler, kind] += 1
        self._node.log.error(
            "handler_timeout" if kind == "timeout" else "handler_failed",
            logger="gateway.handlers",
            group=group,
            route=route.name,
            plugin=plugin,
            handler=handler,
            where=place,
            **more,
        )
        guard = route.dispatch.guard_of(handler)
        if guard is not None:
            guard.fail(place)

    def _stubborn(self, route: Route, group: str, place: tuple[str, str]) -> None:
        handler, where = place
        plugin = route.dispatch.plugin_of(handler)
        self._node.metrics.tasks_left[plugin] += 1
        self._node.log.error(
            "handler_does_not_end",
            logger="gateway.handlers",
            group=group,
            route=route.name,
            plugin=plugin,
            handler=handler,
            where=where,
        )


RAISING: Final = frozenset({PresenceEvents._call.__code__})  # noqa: SLF001
"""The function that raises them: on a stack it tells that there is no connection whose event it is."""
