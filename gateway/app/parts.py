"""The parts of a process that plugins bring, handlers and ways to authenticate: their start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from gateway.errors import GatewayError
from gateway.plugin.judging import one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.core.node import Node
    from gateway.core.patience import Patience

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

    def __init__(self, what: str, cause: BaseException) -> None:
        super().__init__(f"{what} failed at its start: {one_line(cause)}")
        self.what = what
        self.cause = cause


class _Started(NamedTuple):
    what: str
    plugin: str
    name: str
    part: _Part


class Parts:
    """The handlers and ways to authenticate that have started.

    Args:
        node: The node that they start on, in whose log it stands if one fails at its stop.
        patience: What awaits their starts and stops.
    """

    def __init__(self, node: Node, patience: Patience) -> None:
        self._node = node
        self._patience = patience
        self._started: list[_Started] = []

    async def begin(
        self, what: str, cls: type[PartType], options: BaseModel, *, plugin: str, name: str
    ) -> PartType:
        """Make a handler or a way, and have it start.

        Args:
            what: Which one, as errors and the log name it.
            cls: Its class.
            options: Its validated options.
            plugin: The plugin that it comes from; empty if it is the gateway's own.
            name: Its name in gateway.yaml.

        Raises:
            PartStartError: If it cannot be made, fails at its start, or does not end it in its time.
        """
        try:
            part = cls(options)
            await self._patience.start(plugin, what, part.on_start(self._node))
        except (Exception, SystemExit) as exc:
            raise PartStartError(what, exc) from exc
        self._started.append(_Started(what, plugin, name, part))
        return part

    async def stop(self) -> None:
        """Have all stop, the last that started first."""
        failures = self._node.metrics.handler_failures
        while self._started:
            what, plugin, name, part = self._started.pop()
            try:
                if not await self._patience.stop(plugin, what, part.on_stop()):
                    failures[plugin, name, "timeout"] += 1
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - as said
                # A plugin's code at the end: reported, and the others follow.
                failures[plugin, name, "error"] += 1
                self._tell(what, plugin, exc)

    def _tell(self, what: str, plugin: str, error: BaseException) -> None:
        told = {"plugin": plugin or None, "part": what}
        try:
            self._node.log.error("part_stop_failed", **told, exc_info=error)
        except Exception:  # noqa: BLE001 - as said
            # An error can be such that it cannot be shown.
            self._node.log.error("part_stop_failed", **told, error=type(error).__name__)
