"""A route's handlers, resolved once: what a connection calls for each event."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gateway.core.owners import frames_that_wait
from gateway.core.stepping import as_coroutine
from gateway.core.timing import timed
from gateway.observe.families import HANDLER_SECONDS
from gateway.observe.histogram import Histogram
from gateway.plugin.handler import HANDLED, Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from types import TracebackType

    from gateway.core.connection import Connection
    from gateway.core.event_connection import EventConnection
    from gateway.core.guard import Guard
    from gateway.observe.metrics import Metrics

    _Method: TypeAlias = "tuple[Callable[..., Any], Guard | None]"
    """An event of a handler, and the guard that it needs where handlers of several plugins hear it."""

__all__ = ["Dispatch", "where"]

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
        joins: Their events of members who come; `leaves` of those who go, `changes` of those who are another.
        guards: The guards of all plugins that the handlers come from.
        guard: The one, if there is but one; what waits is counted for each connection then, and else by the
            events themselves.
        presence_guards: For each of `joins`, `leaves` and `changes` the guard of each event; `None` for those
            without one.
    """

    __slots__ = (
        "_guards",
        "_handlers",
        "_plugins",
        "changes",
        "closes",
        "guard",
        "guards",
        "joins",
        "leaves",
        "message",
        "open",
        "presence_guards",
    )

    def __init__(
        self,
        handlers: Sequence[tuple[str, Handler[Any]]],
        plugins: Mapping[str, str] = _NONE,
        seconds: Callable[[str, str], Histogram] | None = None,
        guards: Mapping[str, Guard] = _UNGUARDED,
    ) -> None:
        self._handlers = tuple(handlers)
        self._plugins = plugins
        self._guards = guards
        self.guards = tuple(dict.fromkeys(guards.values()))
        alone = len(self.guards) == 1 and all(name in guards for name, _ in handlers)
        self.guard = self.guards[0] if alone else None

        def methods(event: str) -> list[_Method]:
            found = _implementing(handlers, f"on_{event}")
            return [
                (
                    method if seconds is None else timed(method, seconds(name, event)),
                    None if alone else guards.get(name),
                )
                for name, method in found
            ]

        self.open: Callable[[Connection], Any] = _open_each(methods("open"))
        self.message: Callable[[Connection, str | bytes], Any] = _message_each(methods("message"))
        self.closes: tuple[Callable[[Connection, int, str], Any], ...] = tuple(
            method if guard is None else _close_among_others(method, guard)
            for method, guard in methods("close")
        )
        self.joins, self.leaves, self.changes = (
            tuple(method for method, _ in methods(event)) for event in _PRESENCE
        )
        self.presence_guards = {
            f"{event}s": tuple(guards.get(name) for name, _ in _implementing(handlers, f"on_{event}"))
            for event in _PRESENCE
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

        return Dispatch(self._handlers, self._plugins, seconds, self._guards)

    @property
    def hears_presence(self) -> bool:
        """Whether a handler implements one of these three."""
        return bool(self.joins or self.leaves or self.changes)

    def culprit(self, error: BaseException) -> tuple[str, str]:
        """Give the handler that an error passed through, and `file:line` of where it was raised."""
        frames: list[tuple[str, int]] = []
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
            trace = trace.tb_next
        name, _ = self._of_handler(frames)
        return name, _place(frames[-1:])

    def waiting(self, coroutine: Coroutine[Any, Any, Any]) -> tuple[str, str]:
        """Give the handler whose coroutine waits, and `file:line` of where in it that is."""
        frames = [(frame.f_code.co_filename, frame.f_lineno) for frame in frames_that_wait(coroutine)]
        name, frame = self._of_handler(frames)
        return name, _place(frame)

    def _of_handler(self, frames: list[tuple[str, int]]) -> tuple[str, list[tuple[str, int]]]:
        """Find the first frame in a handler's module; if none is, the route's first handler stands in."""
        files = {inspect.getsourcefile(type(handler)): name for name, handler in reversed(self._handlers)}
        for frame in frames:
            if frame[0] in files:
                return files[frame[0]], [frame]
        return (self._handlers[0][0] if self._handlers else ""), frames[:1]


def where(error: BaseException) -> str:
    """Give `file:line` of where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return _place([] if trace is None else [(trace.tb_frame.f_code.co_filename, trace.tb_lineno)])


def _place(frames: list[tuple[str, int]]) -> str:
    return f"{frames[0][0]}:{frames[0][1]}" if frames else "unknown"


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
            return guard.among_others(connection, result, in_turn=False)
        return result

    return call


def _open_each(methods: list[_Method]) -> Callable[..., Any]:
    if not methods:
        return _nothing
    if len(methods) == 1 and methods[0][1] is None:
        return methods[0][0]

    async def call(connection: EventConnection) -> None:
        for method, guard in methods:
            if connection.is_open:
                result = method(connection)
                if inspect.isawaitable(result):
                    await (result if guard is None else guard.among_others(connection, result))

    return call


def _message_each(methods: list[_Method]) -> Callable[..., Any]:
    if not methods:
        return _nothing
    if len(methods) == 1 and methods[0][1] is None:
        return methods[0][0]

    def call(connection: EventConnection, message: str | bytes) -> Any:
        for index, (method, guard) in enumerate(methods):
            result = method(connection, message)
            if result is HANDLED:
                return HANDLED
            if result is not None and inspect.isawaitable(result):
                return go_on(result, guard, methods[index + 1 :], connection, message)
        return None

    async def go_on(
        waiting: Awaitable[Any],
        its: Guard | None,
        following: list[_Method],
        connection: EventConnection,
        message: str | bytes,
    ) -> Any:
        waiting = as_coroutine(waiting)
        result = await (waiting if its is None else its.among_others(connection, waiting))
        for method, guard in following:
            if result is HANDLED:
                break
            result = method(connection, message)
            if inspect.isawaitable(result):
                result = await (result if guard is None else guard.among_others(connection, result))
        return result

    return call
