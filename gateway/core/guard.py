"""What keeps one plugin from harming the others: bounds on its events, its breaker, its threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models import PluginLimits
from gateway.core.breaker import Breaker, Phase
from gateway.core.kept_tasks import KeptTasks
from gateway.core.owners import Owners
from gateway.core.threads import Threads
from gateway.core.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping

    from gateway.core.connection import Connection
    from gateway.core.event_connection import EventConnection
    from gateway.core.node import Node
    from gateway.core.route import Route

__all__ = ["Guard", "Guards"]

_TELL_SECONDS: Final = 10.0
_MOST_PLACES: Final = 5  # of threads, in one line of the log


class Guard:
    """What keeps one plugin at a node from harming the others.

    Nothing of it lies on the way of a message: it changes what its routes call, and only while the plugin is
    stopped, or has as many events under way as it may have.

    Args:
        plugin: The plugin's name.
        limits: What it may take.
        node: The node.
    """

    def __init__(self, plugin: str, limits: PluginLimits, node: Node) -> None:
        self.plugin = plugin
        self.limits = limits
        self.breaker = Breaker(limits.breaker)
        self.routes: list[Route] = []
        """Those on which it has a handler."""
        self.turns = Turns(limits.max_events_under_way, self.routes)
        """Its events that wait for something."""
        self.stops = 0
        """How often it was stopped."""
        self._node = node
        self._threads: Threads | None = None
        self._told_at = 0.0

    # Events under way.

    @property
    def under_way(self) -> int:
        """How many of its events wait for something, or for their turn."""
        return self.turns.under_way

    def begin(self, route: str) -> None:
        """Note that an event of a route waits."""
        self.turns.begin(route)
        if self.turns.full:
            for each in self.routes:
                each.hold(self)

    def end(self, route: str) -> None:
        """Note that one waits no more: the next one has its turn."""
        self.turns.end(route)
        if not self.turns.full:
            for each in self.routes:
                each.let_go(self)

    def holds(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether an event waits for its turn."""
        return self.turns.holds(task)

    async def in_turn(self, route: str, event: Awaitable[Any]) -> Any:
        """Await what an event of a route gave, when it is its turn."""
        if self.turns.has_to_wait(route):
            await self._turn(route, event)
        return await event

    async def among_others(
        self, connection: EventConnection | None, event: Awaitable[Any], *, route: str, in_turn: bool = True
    ) -> Any:
        """Await what an event gave, where handlers of several plugins hear it, or where it has no connection.

        Args:
            connection: Whose event it is; `None` if it is of a group.
            event: What the handler's method gave.
            route: The name of the route on which it is heard.
            in_turn: Whether it has to wait for its turn.
        """
        seconds = self.limits.event_timeout_seconds
        limited = connection
        if seconds is None or connection is None or seconds >= connection.event_seconds:
            limited = None
        if limited is not None:
            limited.begin_deadline(seconds)
        try:
            if in_turn and self.turns.has_to_wait(route):
                self.turns.begin(route)
                await self._turn(route, event)
                if limited is not None:
                    limited.begin_deadline(seconds)
            else:
                self.begin(route)
            return await event
        finally:
            self.end(route)
            if limited is not None:
                limited.end_deadline(seconds)

    async def _turn(self, route: str, event: Awaitable[Any]) -> None:
        task = asyncio.current_task()
        self._tell_held()
        try:
            await self.turns.wait(route)
        except BaseException:
            if asyncio.iscoroutine(event):
                event.close()
            raise
        connection = None if task is None else self._node.event_tasks.get(task)
        if connection is not None:
            connection.begin_deadline()  # what it had was to wait for its turn

    def _tell_held(self) -> None:
        now = self._node.loop.time()
        if now - self._told_at >= _TELL_SECONDS or not self._told_at:
            self._told_at = now
            self._node.log.warning(
                "events_held_up",
                logger="gateway.handlers",
                plugin=self.plugin,
                max_events_under_way=self.limits.max_events_under_way,
            )

    # Failures.

    def fail(self, place: str) -> None:
        """Note that an event has failed, at `file:line`."""
        if not self.breaker.fail(self._node.clock.time()):
            return
        self.stops += 1
        breaker = self.limits.breaker
        for route in self.routes:
            route.stop(self)
        self._node.clock.call_later(breaker.pause_seconds, self.breaker.wait)
        self._node.log.error(
            "plugin_stopped",
            logger="gateway.handlers",
            plugin=self.plugin,
            where=place,
            failures=breaker.failures,
            within_seconds=breaker.within_seconds,
            pause_seconds=breaker.pause_seconds,
        )

    @property
    def stopped(self) -> bool:
        """Whether it is stopped, or not known yet to work again."""
        return self.breaker.phase is not Phase.WORKING

    def succeed(self) -> None:
        """Note that the event that was tried after a pause went well."""
        if self.breaker.succeed():
            for route in self.routes:
                route.go_on(self)
            self._node.log.info("plugin_works_again", logger="gateway.handlers", plugin=self.plugin)

    def turn_away(self, connection: Connection) -> None:
        """Close a connection with 1013, since the plugin is stopped."""
        self._node.metrics.turned_away[self.plugin, "stopped"] += 1
        connection.refuse_event("not working at the moment")

    def turn_away_held(self, connection: Connection) -> None:
        """Close a connection with 1013, since its turn did not come in time."""
        self._node.metrics.turned_away[self.plugin, "events"] += 1
        self._node.metrics.limits["max_events_under_way"] += 1
        connection.refuse_event("too much is under way")

    # Threads.

    @property
    def threads(self) -> Threads:
        """Its threads; made at first use."""
        if self._threads is None:
            most = self.limits.max_threads
            self._threads = Threads(self.plugin, most, self._node.loop, self._tell_threads_held)
        return self._threads

    def _tell_threads_held(self) -> None:
        """Log that calls wait for a thread, and what the threads do."""
        culprit = self._node.guards.owners.culprit
        found = ((culprit(frame), name) for frame, name in self.threads.doing())
        # Where a function of somebody else's was given, its name says more.
        places = dict.fromkeys(str(place) if place.plugin else name for place, name in found)
        self._node.log.warning(
            "threads_held_up",
            logger="gateway.handlers",
            plugin=self.plugin,
            max_threads=self.limits.max_threads,
            waiting=self.threads.waiting,
            where=list(places)[:_MOST_PLACES],
        )

    @property
    def thread_calls(self) -> tuple[int, int]:
        """How many functions run in its threads, and how many wait for one."""
        threads = self._threads
        return (0, 0) if threads is None else (threads.running, threads.waiting)

    def close(self) -> None:
        """Let the threads go."""
        if self._threads is not None:
            self._threads.close()


class Guards:
    """The guards of a node, by the plugin's name.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._guards: dict[str, Guard] = {}
        self.limits: Mapping[str, PluginLimits] = {}
        """What gateway.yaml says, by the plugin's name; the others have the defaults."""
        self.ways: Mapping[str, str] = {}
        """The plugins that ways to authenticate come from, by the way's name, but for the gateway's own."""
        self.kept_tasks = KeptTasks(node.log)
        self.owners = Owners()
        """Whose code it is."""

    def __iter__(self) -> Iterator[Guard]:
        return iter(tuple(self._guards.values()))

    def of(self, plugin: str) -> Guard:
        """Give a plugin's guard; made at first use."""
        found = self._guards.get(plugin)
        if found is None:
            limits = self.limits.get(plugin)
            found = self._guards[plugin] = Guard(plugin, limits or PluginLimits(), self._node)
        return found

    def close(self) -> None:
        """Let all threads go."""
        for guard in self._guards.values():
            guard.close()
