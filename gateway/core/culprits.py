"""Who is to blame for an event that fails or waits too long: the handler, and the line of its plugin."""

from __future__ import annotations

from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from gateway.core.each import handler_at
from gateway.core.owners import frames_that_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import FrameType

    from gateway.core.owners import Owners
    from gateway.plugin.handler import Handler

__all__ = ["Culprits", "where"]


class Culprits:
    """The handlers of one route, one of which has failed.

    An event's handler is known by the call that was made, and not by whose code it ran into: handlers share
    files, inherit from classes of others, and hand on what libraries give.

    Args:
        handlers: The handlers' names and objects.
        plugin_of: Gives the plugin that a handler comes from, by its name.
        owners: Tells whose code a frame is; `None`: only handlers' own methods are known as theirs.
        only: The handler of an event that has not gone through `Each`.
    """

    __slots__ = ("_handlers", "_only", "_owners", "_plugin_of")

    def __init__(
        self,
        handlers: Sequence[tuple[str, Handler[Any]]],
        plugin_of: Callable[[str], str],
        owners: Owners | None,
        only: str,
    ) -> None:
        self._handlers = handlers
        self._plugin_of = plugin_of
        self._owners = owners
        self._only = only

    def of_event(self, error: BaseException, handler: str | None = None) -> tuple[str, str]:
        """Give the handler whose event has raised an error, and the innermost `file:line` of its plugin.

        Args:
            error: The error.
            handler: The handler of a close or presence event; `None` for an open or message event.
        """
        if handler is None:
            handler = handler_at(_frames(error)) or self._only
        return handler, self._place(handler, error)

    def of_waiting(self, coroutine: Coroutine[Any, Any, Any], handler: str | None = None) -> tuple[str, str]:
        """Give the handler whose event waits, and the innermost `file:line` of its plugin at which it does.

        Args:
            coroutine: The event.
            handler: The handler, as for `of_event`.
        """
        frames = list(frames_that_wait(coroutine))
        if handler is None:
            handler = handler_at(frames) or self._only
        own = [frame for frame in frames if self._is_of(handler, frame)] or frames
        return handler, (f"{own[-1].f_code.co_filename}:{own[-1].f_lineno}" if own else "unknown")

    def of_task(self, error: BaseException) -> tuple[str, str]:
        """Give whose task or timer has raised an error, as its frames tell, and the place as `of_event` does.

        Returns:
            An empty name, if it is in no plugin's code and the route's handlers are of several plugins.
        """
        handler = self._owner(list(_frames(error)))
        return handler, self._place(handler, error)

    def _owner(self, frames: list[FrameType]) -> str:
        for frame in frames:
            for name, handler in self._handlers:
                if _self_of(frame) is handler:
                    return name
        plugins = [self._plugin_at(frame) for frame in frames]
        own = {self._plugin_of(name): name for name, _ in reversed(self._handlers)}
        if len(own) == 1:
            plugins += own
        return next((own[plugin] for plugin in plugins if plugin in own), "")

    def _place(self, name: str, error: BaseException) -> str:
        for each in _innermost(error):
            for frame, line in reversed(list(walk_tb(each.__traceback__))):
                if self._is_of(name, frame):
                    return f"{frame.f_code.co_filename}:{line}"
        return where(error)

    def _is_of(self, name: str, frame: FrameType) -> bool:
        """Tell whether a frame is in a handler's plugin, or in one of the handler's methods elsewhere."""
        if name and self._plugin_at(frame) == self._plugin_of(name):
            return True
        own = _self_of(frame)
        return any(own is handler for each, handler in self._handlers if each == name)

    def _plugin_at(self, frame: FrameType) -> str:
        return "" if self._owners is None else self._owners.place(frame).plugin


def where(error: BaseException) -> str:
    """Give `file:line` of where an error was raised."""
    found = "unknown"
    for frame, line in walk_tb(error.__traceback__):
        found = f"{frame.f_code.co_filename}:{line}"
    return found


def _frames(error: BaseException) -> Iterator[FrameType]:
    return (frame for frame, _ in walk_tb(error.__traceback__))


def _self_of(frame: FrameType) -> object:
    """Give what `self` is in a method, or in a function within one; `None` if there is none."""
    code = frame.f_code
    if code.co_argcount:
        return frame.f_locals.get(code.co_varnames[0])
    return frame.f_locals.get("self") if "self" in code.co_freevars else None


def _innermost(error: BaseException) -> Iterator[BaseException]:
    """Give the errors in a group, and in the groups in it, and then itself."""
    if issubclass(type(error), BaseExceptionGroup):
        group: BaseExceptionGroup[Any] = error  # type: ignore[assignment]
        for each in group.exceptions:
            yield from _innermost(each)
    yield error
