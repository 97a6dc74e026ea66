"""What takes the place of a route's event while a plugin of the route is stopped."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from gateway.core.breaker import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.core.connection import Connection
    from gateway.core.dispatch import Dispatch
    from gateway.core.guard import Guard

__all__ = ["Trial"]


class Trial:
    """A route's event while plugins are stopped: it turns connections away, and tries one after the pause.

    Args:
        event: The event.
        guards: Those of the plugins that are stopped.
        dispatch: The route's handlers.
        heard: Whether a handler implements the event: only then it can be a trial.
    """

    __slots__ = ("_dispatch", "_event", "_guards", "_heard")

    def __init__(
        self, event: Callable[..., Any], guards: Sequence[Guard], dispatch: Dispatch, *, heard: bool
    ) -> None:
        self._event = event
        self._guards = guards
        self._dispatch = dispatch
        self._heard = heard

    def __call__(self, connection: Connection, *arguments: Any) -> Any:
        """Raise the event, if it may be raised."""
        for guard in self._guards:
            if guard.breaker.phase is not Phase.WAITING:
                guard.turn_away(connection)
                return None
        if not self._heard:
            return self._event(connection, *arguments)
        for guard in self._guards:
            guard.breaker.take()
        try:
            result = self._event(connection, *arguments)
        except BaseException as error:
            self._fail(error)
            raise
        if result is not None and isawaitable(result):
            return self._wait(result)
        self._succeed()
        return result

    async def _wait(self, result: Awaitable[Any]) -> Any:
        try:
            given = await result
        except BaseException as error:
            self._fail(error)
            raise
        self._succeed()
        return given

    def _succeed(self) -> None:
        for guard in self._guards:
            guard.succeed()

    def _fail(self, error: BaseException) -> None:
        handler, place = self._dispatch.culprits.of_event(error)
        culprit = self._dispatch.guard_of(handler)
        for guard in self._guards:
            if guard.breaker.phase is Phase.TRYING:
                if guard is culprit:
                    guard.fail(place)
                else:
                    guard.breaker.wait()  # another plugin's failure proves nothing of this one
