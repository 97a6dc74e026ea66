"""How long handlers' events take: a timed form of each, and which of the messages take it."""

from __future__ import annotations

import random
from inspect import isawaitable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.core.stepping import as_coroutine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.core.connection import Connection
    from gateway.core.route import Route
    from gateway.observe.histogram import Histogram

__all__ = ["Sampler", "timed"]

_MOST_PASSED: Final = (
    16  # as many as come in one read, so that the first of a read is not timed more than others
)


def timed(method: Callable[..., Any], seconds: Histogram) -> Callable[..., Any]:
    """Give a handler's method that counts how long it takes, to the end of its waits."""

    def call(*arguments: Any) -> Any:
        began = perf_counter()
        try:
            result = method(*arguments)
        except BaseException:
            seconds.observe(perf_counter() - began)
            raise
        if result is not None and isawaitable(result):
            return wait(result, began)
        seconds.observe(perf_counter() - began)
        return result

    async def wait(result: Awaitable[Any], began: float) -> Any:
        try:
            return await as_coroutine(result)
        finally:
            seconds.observe(perf_counter() - began)

    return call


class Sampler:
    """The choice of messages that are timed on a route: one each time that it is told to.

    To look at the clock twice for every message would cost a quarter of an echo. So the route has
    the plain event, and the timed one takes its place for a moment: the others pay nothing.

    Args:
        route: The route.
        event: Its message event, timed.
    """

    __slots__ = ("_left", "_plain", "_route", "_timed")

    def __init__(self, route: Route, event: Callable[..., Any]) -> None:
        self._route = route
        self._plain = route.message_event
        self._timed = event
        self._left = -1

    def arm(self) -> None:
        """Have one of the next messages timed."""
        if self._route.message_event is self._plain:  # else it is armed, or the plugin is stopped
            self._left = random.randrange(_MOST_PASSED)  # noqa: S311 - no secret
            self._route.message_event = self._take

    def _take(self, connection: Connection, message: str | bytes) -> Any:
        self._left -= 1
        if self._left >= 0:
            return self._plain(connection, message)
        if self._route.message_event != self._take:
            return self._plain(connection, message)  # a read that began before has kept this call
        self._route.message_event = self._plain
        return self._timed(connection, message)
