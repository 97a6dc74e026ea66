"""A route's handlers, resolved once: what a connection calls for each event."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.core.culprits import Culprits
from gateway.core.each import Each
from gateway.core.timing import timed
from gateway.observe.families import HANDLER_SECONDS
from gateway.observe.histogram import Histogram
from gateway.plugin.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.connection import Connection
    from gateway.core.each import Hearer
    from gateway.core.event_connection import EventConnection
    from gateway.core.guard import Guard
    from gateway.core.owners import Owners
    from gateway.observe.metrics import Metrics

__all__ = ["Dispatch"]

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_UNGUARDED: Final[Mapping[str, Guard]] = MappingProxyType({})
_PRESENCE: Final = ("join", "leave", "change")


class Dispatch:
    """The handlers of one route, as functions to call.

    With one handler `message` is its own method, so that a message costs one direct call (0.07 µs, where a
    pluggy call costs 2 to 5). Handlers that do not implement an event are not called for it.

    Args:
        handlers: The handlers' names and objects, in the order of the YAML.
        plugins: The plugins that they come from, by the handlers' names; the name of a handler that is not in
            there stands for its plugin.
        seconds: Gives where an event's time is counted, by the handler's name and the event's; `None`: it is
            counted nowhere.
        guards: What keeps their plugins from harming others, by the handlers' names; handlers that are not in
            there have none.

    Attributes:
        open: Calls each handler's open event, as long as the connection is open.
        message: Calls each handler's message event, until one says `HANDLED`.
        closes: The handlers' close events, each to be called whatever becomes of the others.
        close_handlers: Their handlers' names.
        culprits: Tells which handler has failed.
        joins: Their events of members who come; `leaves` of those who go, `changes` of those who are another.
        guards: The guards of all plugins that the handlers come from.
        guard: The one, if there is but one; what waits is counted for each connection then, and else by the
            events themselves.
        presence_handlers: For each of `joins`, `leaves` and `changes` the handler's name of each event.
    """

    __slots__ = (
        "_guards",
        "_handlers",
        "_owners",
        "_plugins",
        "changes",
        "close_handlers",
        "closes",
        "culprits",
        "guard",
        "guards",
        "joins",
        "leaves",
        "message",
        "open",
        "presence_handlers",
    )

    def __init__(
        self,
        handlers: Sequence[tuple[str, Handler[Any]]],
        plugins: Mapping[str, str] = _NONE,
        seconds: Callable[[str, str], Histogram] | None = None,
        guards: Mapping[str, Guard] = _UNGUARDED,
        owners: Owners | None = None,
    ) -> None:
        self._handlers = tuple(handlers)
        self._plugins = plugins
        self._guards = guards
        self._owners = owners
        self.guards = tuple(dict.fromkeys(guards.values()))
        alone = len(self.guards) == 1 and all(name in guards for name, _ in handlers)
        self.guard = self.guards[0] if alone else None

        def hearers(event: str) -> list[Hearer]:
            found = _implementing(handlers, f"on_{event}")
            return [
                (
                    name,
                    method if seconds is None else timed(method, seconds(name, event)),
                    None if alone else guards.get(name),
                )
                for name, method in found
            ]

        opens, messages, closes = (hearers(event) for event in ("open", "message", "close"))
        # On a route with several handlers an open event always goes through `Each`, so that an event that has
        # not is the message of the only one that hears any.
        several = len(self._handlers) != 1
        self.open: Callable[[Connection], Any] = _call_each(opens, Each(opens).open, always=several)
        self.message: Callable[[Connection, str | bytes], Any] = _call_each(messages, Each(messages).message)
        only = messages[0][0] if several and len(messages) == 1 else self.names[0] if self.names else ""
        self.culprits = Culprits(self._handlers, self.plugin_of, owners, only)
        self.closes: tuple[Callable[[Connection, int, str], Any], ...] = tuple(
            method if guard is None else _close_among_others(method, guard) for _, method, guard in closes
        )
        self.close_handlers = tuple(name for name, _, _ in closes)
        presence = {event: hearers(event) for event in _PRESENCE}
        self.joins, self.leaves, self.changes = (
            tuple(method for _, method, _ in presence[event]) for event in _PRESENCE
        )
        self.presence_handlers = {
            f"{event}s": tuple(name for name, _, _ in presence[event]) for event in _PRESENCE
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The handlers' names."""
        return tuple(name for name, _ in self._handlers)

    @property
    def hears_opening(self) -> bool:
        """Whether a handler implements the open event."""
        return self.open is not _nothing

    @property
    def hears_messages(self) -> bool:
        """Whether a handler implements the message event."""
        return self.message is not _nothing

    def plugin_of(self, handler: str) -> str:
        """Give the plugin that a handler comes from, by its name."""
        return self._plugins.get(handler, handler)

    def guard_of(self, handler: str) -> Guard | None:
        """Give the guard of the plugin that a handler comes from; `None` if it has none."""
        return self._guards.get(handler)

    def timed(self, metrics: Metrics) -> Dispatch:
        """Give the same dispatch, with every event timed."""

        def seconds(handler: str, event: str) -> Histogram:
            key = (self.plugin_of(handler), handler, event)
            found = metrics.handler_seconds.get(key)
            if found is None:
                found = metrics.handler_seconds[key] = Histogram(HANDLER_SECONDS)
            return found

        return Dispatch(self._handlers, self._plugins, seconds, self._guards, self._owners)

    @property
    def hears_presence(self) -> bool:
        """Whether a handler implements one of these three."""
        return bool(self.joins or self.leaves or self.changes)


def _implementing(
    handlers: Sequence[tuple[str, Handler[Any]]], event: str
) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, getattr(handler, event))
        for name, handler in handlers
        if getattr(type(handler), event) is not getattr(Handler, event)
    ]


def _nothing(*_: Any) -> None:
    """Take an event that no handler of the route implements."""


def _close_among_others(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    def call(connection: EventConnection, code: int, reason: str) -> Any:
        result = method(connection, code, reason)
        if result is not None and inspect.isawaitable(result):
            # What has ended is told of at once.
            return guard.among_others(connection, result, route=connection.route, in_turn=False)
        return result

    return call


def _call_each(
    hearers: list[Hearer], each: Callable[..., Any], *, always: bool = False
) -> Callable[..., Any]:
    """Give the event of the only handler that hears it as it is, unless it needs a guard."""
    if not hearers:
        return _nothing
    return hearers[0][1] if len(hearers) == 1 and hearers[0][2] is None and not always else each
