"""An event that several handlers hear one after the other, and which of them it is at."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gateway.core.stepping import as_coroutine
from gateway.plugin.handler import HANDLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from types import FrameType

    from gateway.core.event_connection import EventConnection
    from gateway.core.guard import Guard

    Hearer: TypeAlias = "tuple[str, Callable[..., Any], Guard | None]"
    """A handler's name, its event, and the guard that it needs where handlers of several plugins hear it."""

__all__ = ["Each", "handler_at"]


class Each:
    """The handlers of an event, called in order.

    An event that goes well pays for no note of the handler that it is at. The frame of one that fails or
    waits has the handler's number, where `handler_at` finds it.

    Args:
        hearers: The handlers.
    """

    __slots__ = ("_hearers",)

    def __init__(self, hearers: Sequence[Hearer]) -> None:
        self._hearers = tuple(hearers)

    def open(self, connection: EventConnection) -> Any:
        """Raise the open event with each, as long as the connection is open."""
        for index, (_, method, _) in enumerate(self._hearers):
            if connection.is_open:
                result = method(connection)
                if result is not None and isawaitable(result):
                    return self._open_on(index, result, connection)
        return None

    async def _open_on(self, index: int, waiting: Awaitable[Any], connection: EventConnection) -> None:
        await self._wait(index, as_coroutine(waiting), connection)
        while (index := index + 1) < len(self._hearers):
            if connection.is_open:
                result = self._hearers[index][1](connection)
                if isawaitable(result):
                    await self._wait(index, result, connection)

    def message(self, connection: EventConnection, message: str | bytes) -> Any:
        """Raise the message event with each, until one says `HANDLED`."""
        for index, (_, method, _) in enumerate(self._hearers):
            result = method(connection, message)
            if result is HANDLED:
                return HANDLED
            if result is not None and isawaitable(result):
                return self._message_on(index, result, connection, message)
        return None

    async def _message_on(
        self, index: int, waiting: Awaitable[Any], connection: EventConnection, message: str | bytes
    ) -> Any:
        result = await self._wait(index, as_coroutine(waiting), connection)
        while result is not HANDLED and (index := index + 1) < len(self._hearers):
            result = self._hearers[index][1](connection, message)
            if isawaitable(result):
                result = await self._wait(index, result, connection)
        return result

    def _wait(self, index: int, waiting: Awaitable[Any], connection: EventConnection) -> Awaitable[Any]:
        guard = self._hearers[index][2]
        return waiting if guard is None else guard.among_others(connection, waiting, route=connection.route)

    def name(self, index: int) -> str:
        """Give the name of a handler."""
        return self._hearers[index][0]


_CALLING: Final = frozenset(
    method.__code__
    for method in (Each.open, Each._open_on, Each.message, Each._message_on)  # noqa: SLF001
)


def handler_at(frames: Iterable[FrameType]) -> str | None:
    """Give the handler that an event was at when it failed, or is at while it waits.

    Args:
        frames: Those of the error or of the coroutine, from the outermost one in.

    Returns:
        Its name; `None` if the event has not gone through `Each`.
    """
    for frame in frames:
        if frame.f_code in _CALLING:
            values = frame.f_locals
            each: Each = values["self"]
            return each.name(values["index"])
    return None
