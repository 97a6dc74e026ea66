"""The turns of one plugin's events: so many wait for something at once, and each route has its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.route import Route

    _Held: TypeAlias = "dict[asyncio.Task[Any] | None, asyncio.Future[None]]"

__all__ = ["Turns"]


class Turns:
    """The events of one plugin that wait for something, and those that wait for their turn among them.

    When as many are under way as may be, a route may still have its share: the bound, divided by the number
    of routes. So a route whose service is dead takes no turn from the others, and in all there are never
    twice as many as the bound says.

    Args:
        most: Most that may be under way.
        routes: The plugin's routes, which may become more.
    """

    def __init__(self, most: int, routes: Sequence[Route]) -> None:
        self._most = most
        self._routes = routes
        self._count: Counter[str] = Counter()
        """By the route's name how many are under way."""
        self._held: dict[str, _Held] = {}
        """Of these those that wait for their turn."""
        self._held_count = 0
        self.under_way = 0
        """How many are under way in all, with those that wait for their turn."""

    @property
    def full(self) -> bool:
        """Whether as many are under way as may be."""
        return self.under_way - self._held_count >= self._most

    def has_to_wait(self, route: str) -> bool:
        """Tell whether another event of a route has to wait for its turn."""
        return self.full and self._running(route) >= self._share

    @property
    def _share(self) -> int:
        return max(self._most // max(len(self._routes), 1), 1)

    def _running(self, route: str) -> int:
        return self._count[route] - len(self._held.get(route, ()))

    def begin(self, route: str) -> None:
        """Note that an event is under way."""
        self.under_way += 1
        self._count[route] += 1

    def end(self, route: str) -> None:
        """Note that one is no more: others have their turns."""
        self.under_way -= 1
        self._count[route] -= 1
        while self._held_count and (chosen := self._next()) is not None:
            held = self._held[chosen]
            turn = self._forget(chosen, next(iter(held)))
            if turn is not None and not turn.done():
                turn.set_result(None)

    def _next(self) -> str | None:
        """Choose the route of which one has its turn: that with the fewest under way; `None` if none has."""
        least = min(self._held, key=self._running)
        return None if self.has_to_wait(least) else least

    def holds(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether an event waits for its turn."""
        return any(task in held for held in self._held.values())

    async def wait(self, route: str) -> None:
        """Wait for the turn of the event that the current task runs."""
        task = asyncio.current_task()
        turn = asyncio.get_running_loop().create_future()
        self._held.setdefault(route, {})[task] = turn
        self._held_count += 1
        try:
            await turn
        finally:
            self._forget(route, task)

    def _forget(self, route: str, task: asyncio.Task[Any] | None) -> asyncio.Future[None] | None:
        held = self._held.get(route, {})
        turn = held.pop(task, None)
        if turn is not None:
            self._held_count -= 1
            if not held:
                del self._held[route]
        return turn
