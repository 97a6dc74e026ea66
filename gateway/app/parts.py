"""The parts of a process that plugins bring, handlers and ways to authenticate: their start and stop."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.core.node import Node

__all__ = ["PartStartError", "Parts"]


class _Part(Protocol):
    """A handler or a way to authenticate."""

    def __init__(self, options: Any) -> None: ...

    def on_start(self, node: Node) -> Any: ...

    def on_stop(self) -> Any: ...


PartType = TypeVar("PartType", bound=_Part)


class PartStartError(GatewayError):
    """A handler, a way to authenticate or a plugin's broker that failed at its start.

    Args:
        what: Which one.
        cause: What it raised.
    """

    def __init__(self, what: str, cause: Exception) -> None:
        super().__init__(f"{what} failed at its start: {type(cause).__name__}: {cause}")
        self.what = what
        self.cause = cause


class Parts:
    """The handlers and ways to authenticate that have started.

    Args:
        node: The node that they start on, in whose log it stands if one fails at its stop.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._started: list[tuple[str, _Part]] = []

    async def begin(self, what: str, cls: type[PartType], options: BaseModel) -> PartType:
        """Make a handler or a way, and have it start.

        Args:
            what: Which one, as errors and the log name it.
            cls: Its class.
            options: Its validated options.

        Raises:
            PartStartError: If it cannot be made, or fails at its start.
        """
        try:
            part = cls(options)
            await _finish(part.on_start(self._node))
        except Exception as exc:
            raise PartStartError(what, exc) from exc
        self._started.append((what, part))
        return part

    async def stop(self) -> None:
        """Have all stop, the last that started first."""
        for what, part in reversed(self._started):
            try:
                await _finish(part.on_stop())
            except Exception as exc:
                # A plugin's code at the end: reported, and the others follow.
                self._node.log.error("part_stop_failed", part=what, exc_info=exc)


async def _finish(result: Any) -> None:
    if isawaitable(result):
        await result
