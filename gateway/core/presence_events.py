"""Who came, who went, who is another than before: told to the handlers whose connections are in the group."""

from __future__ import annotations

import asyncio
import time
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.core.connection import Connection
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
            for method in getattr(route.dispatch, event):
                self._call(route, method, group, *arguments, tuple(connections))

    def _call(self, route: Route, method: Callable[..., Any], group: str, *arguments: Any) -> None:
        try:
            result = method(group, *arguments)
        except Exception as exc:  # noqa: BLE001 - a plugin's code: reported, and the gateway goes on
            self._failed(route, group, exc)
            return
        if isawaitable(result):
            self._node.start_task(self._wait(route, group, result))

    async def _wait(self, route: Route, group: str, result: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(route.limits.handler_timeout_seconds):
                await result
        except Exception as exc:  # noqa: BLE001 - as above
            self._failed(route, group, exc)

    def _failed(self, route: Route, group: str, error: Exception) -> None:
        self._node.metrics.handler_errors += 1
        handler, place = route.dispatch.culprit(error)
        plugin = route.dispatch.plugin_of(handler)
        self._node.metrics.handler_failures[plugin, handler, "error"] += 1
        self._node.log.error(
            "handler_failed",
            logger="gateway.handlers",
            group=group,
            route=route.name,
            plugin=plugin,
            handler=handler,
            where=place,
            exc_info=error,
        )
