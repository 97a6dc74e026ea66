"""For how long a plugin may start, and stop: then the gateway goes on without it, and it is named."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.core.loop_threads import whose
from gateway.core.owners import frames_that_wait
from gateway.core.stepping import as_coroutine, contained
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from gateway.core.node import Node

__all__ = ["OverdueError", "Patience"]

STOP_SECONDS: Final = 5.0
"""For how long all that one plugin stops may take, together."""
_STUBBORN_SECONDS: Final = 0.5  # for which what is given up may end in order


class OverdueError(GatewayError):
    """A start or a stop that has not ended in its time.

    Args:
        plugin: The plugin's name; empty if it is no plugin's.
        seconds: How long it had.
        place: Where it waits, as `file:line`.
    """

    def __init__(self, plugin: str, seconds: float, place: str) -> None:
        who = f"plugin {plugin!r}" if plugin else "it"
        super().__init__(f"{who} still waits after {seconds:.3g} seconds, at {place}")
        self.plugin = plugin
        self.seconds = seconds
        self.place = place


class Patience:
    """What awaits the starts and stops of plugins at a node.

    All starts share one time, since whoever started the process waits no longer for it. Each plugin has a
    time of its own to stop, so that one that never ends takes none from the others.

    Args:
        node: The node.
        start_seconds: Within which everything has to have started, from now on.
    """

    def __init__(self, node: Node, start_seconds: float) -> None:
        self._node = node
        self._start_seconds = start_seconds
        self._start_until = node.loop.time() + start_seconds
        self._stop_left: dict[str, float] = {}

    async def start(self, plugin: str, part: str, result: Any) -> None:
        """Await what a start gave, if it can be awaited.

        Args:
            plugin: Whose it is; empty if it is no plugin's.
            part: What starts, as the log names it.
            result: What it gave.

        Raises:
            OverdueError: If it has not ended in its time; it is in the log too.
        """
        if isawaitable(result):
            left = self._start_until - self._node.loop.time()
            await self._wait("start_timeout", plugin, part, result, left, self._start_seconds)

    async def stop(self, plugin: str, part: str, result: Any) -> bool:
        """Await what a stop gave, as `start` does; tell whether it has ended in its time."""
        if not isawaitable(result):
            return True
        began = self._node.loop.time()
        left = self._stop_left.get(plugin, STOP_SECONDS)
        try:
            await self._wait("stop_timeout", plugin, part, result, left, STOP_SECONDS)
        except OverdueError:
            return False
        finally:
            self._stop_left[plugin] = left - (self._node.loop.time() - began)
        return True

    async def _wait(
        self, event: str, plugin: str, part: str, result: Any, left: float, seconds: float
    ) -> None:
        # A task, since what cannot be cancelled would hold up whoever awaits it.
        context = copy_context()
        context.run(whose.set, plugin)
        task = self._node.loop.create_task(contained(as_coroutine(result)), context=context)
        try:
            # Without time left it still takes its first step.
            await asyncio.wait({task}, timeout=max(left, 0.0))
            if not task.done():
                error = OverdueError(plugin, seconds, self._place(task.get_coro()))
                self._node.log.error(
                    event,
                    logger="gateway.handlers",
                    plugin=plugin or None,
                    part=part,
                    where=error.place,
                    seconds=round(seconds, 3),
                )
                raise error
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_STUBBORN_SECONDS)
            if task.done() and not task.cancelled():
                task.exception()  # noted, also where nobody is left to hear of it
        if task.cancelled():
            raise RuntimeError("it cancelled itself")
        task.result()

    def _place(self, coroutine: Coroutine[Any, Any, Any] | Generator[Any, Any, Any] | None) -> str:
        """Give where it waits: in a plugin's code, if that is on the way, and not within asyncio."""
        place = self._node.guards.owners.of_waiting(coroutine)
        if place is not None:
            return str(place)
        frames = list(frames_that_wait(coroutine))
        others = [
            each for each in frames if not str(each.f_globals.get("__name__", "")).startswith("asyncio.")
        ]
        inmost = (others or frames)[-1:]
        return f"{inmost[0].f_code.co_filename}:{inmost[0].f_lineno}" if inmost else "unknown"
