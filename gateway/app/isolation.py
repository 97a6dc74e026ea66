"""What keeps plugins from harming each other, put together from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.core.watch import TICK_SECONDS, Watch
from gateway.core.watchdog import Watchdog
from gateway.observe.families import OTHER
from gateway.plugin.manager import BUILT_IN

if TYPE_CHECKING:
    from types import FrameType

    from gateway.app.prepare import Prepared
    from gateway.core.node import Node

__all__ = ["BlockWarnings", "guard_plugins"]

_MOST_PLACES: Final = 50  # that have a figure of their own


def guard_plugins(node: Node, prepared: Prepared) -> None:
    """Tell a node what its plugins may take, and whose code is whose."""
    guards = node.guards
    guards.limits = {name: plugin.limits for name, plugin in prepared.config.plugins.items()}
    for plugin in prepared.plugins.plugins:
        if plugin.distribution != BUILT_IN:
            value: Any = plugin.value
            guards.owners.add(plugin.name, getattr(value, "__name__", None) or type(value).__module__)
    for choices in prepared.handlers:
        for choice in choices:
            guards.owners.add(choice.plugin, choice.handler.__module__)
    for name, hook in prepared.plugins.admission():
        guards.owners.add(name, getattr(hook, "__module__", None) or "")
    guards.ways = prepared.way_plugins
    for name, (way, _) in prepared.authenticators.items():
        if name in guards.ways:
            guards.owners.add(guards.ways[name], way.__module__)


class BlockWarnings:
    """One line of the log, and a figure, each time that something holds up the event loop.

    Args:
        node: The node.
        seconds: For how long; 0 for never.
        watch: What looks at the loop already; `None` if nothing does.
    """

    def __init__(self, node: Node, seconds: float, watch: Watch | None) -> None:
        self._node = node
        self._own = Watch(node.loop) if watch is None and seconds else None
        self._watch = self._own if watch is None else watch
        self._watchdog = Watchdog(seconds, TICK_SECONDS, self._report) if seconds else None

    def begin(self) -> None:
        """Look from now on."""
        if self._watchdog is not None and self._watch is not None:
            self._watchdog.start()
            self._watch.beat = self._watchdog.beat
        if self._own is not None:
            self._own.begin()

    def close(self) -> None:
        """Look no more."""
        if self._watchdog is not None:
            self._watchdog.close()
        if self._own is not None:
            self._own.close()

    def _report(self, frame: FrameType, seconds: float) -> None:
        """Tell who holds up the loop; called in the watchdog's thread."""
        node = self._node
        owners = node.guards.owners
        culprit = owners.culprit(frame)
        inmost = owners.place(frame)
        blocks = node.metrics.blocks
        key = (culprit.plugin, culprit.file, str(culprit.line))
        if key not in blocks and len(blocks) >= _MOST_PLACES:
            key = (culprit.plugin, OTHER, "")
        blocks[key] += 1
        node.log.warning(
            "loop_blocked",
            logger="gateway.handlers",
            plugin=culprit.plugin or None,
            where=str(culprit),
            function=culprit.function,
            inmost=str(inmost),
            seconds=round(seconds, 3),
        )
