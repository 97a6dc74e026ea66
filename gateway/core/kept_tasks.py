"""Tasks that libraries keep for plugins: counted and named, and not ended, since pools need theirs."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.core.owners import frames_that_wait

if TYPE_CHECKING:
    import asyncio

    from gateway.observe.logs import Logger

__all__ = ["KeptTasks"]


class KeptTasks:
    """The tasks of a node that a library has begun in a plugin's event, and that go on after its connection.

    Args:
        log: Where each line of a plugin that leads to some is named once.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._told: set[str] = set()
        self.running: Counter[str] = Counter()
        """How many go on now, by the plugin's name."""

    def add(self, task: asyncio.Task[Any], plugin: str, began: str, **fields: Any) -> None:
        """Count a task until it ends.

        Args:
            task: The task.
            plugin: Whose event it was.
            began: The plugin's line that called the library, as `file:line`.
            fields: What the log line says besides.
        """
        self.running[plugin] += 1
        task.add_done_callback(partial(self._ended, plugin))
        if began in self._told:
            return
        self._told.add(began)
        place = None
        for frame in frames_that_wait(task.get_coro()):
            if place is None or not str(frame.f_globals.get("__name__")).startswith("asyncio."):
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self._log.info(
            "library_keeps_task",
            logger="gateway.handlers",
            plugin=plugin,
            task=task.get_name(),
            where=place,
            began=began,
            **fields,
        )

    def _ended(self, plugin: str, task: asyncio.Task[Any]) -> None:
        del task
        self.running[plugin] -= 1
