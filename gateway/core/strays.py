"""Tasks that events begin by themselves, past `start_task`: found, so that none outlives its connection."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.core.owners import frames_of
from gateway.core.stepping import contained

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import CodeType, FrameType

    from gateway.core.node import Node

__all__ = ["Owner", "TaskFactory", "owner"]

_OURS: Final = "gateway."
_DEEP: Final = 100


class Owner(Protocol):
    """What a task ends with."""

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str) -> None:
        """Have a task end with it that a plugin's code has begun at `file:line`."""


owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""What a task ends with, for whatever it begins itself; `None` for nothing."""


class TaskFactory:
    """What makes the tasks of an event loop. Those that a plugin's code begins get an owner.

    Whose task it is shows on the stack where it is begun, so that events pay nothing: the first frame behind
    asyncio's own is of a plugin's module, and further out is the owner, which raises the event. A task
    that a library begins, such as that of a pool which is made at first use, has no owner.

    Args:
        raising: The functions that raise events; their `self` is the owner.
    """

    def __init__(self, raising: frozenset[CodeType]) -> None:
        self._raising = raising
        self.nodes: list[Node] = []
        """The nodes of the loop: one, but in tests."""

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        """Make a task."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way
        while frame is not None and _module(frame).partition(".")[0] == "asyncio":
            frame = frame.f_back
        if frame is None or _module(frame).startswith(_OURS) or not asyncio.iscoroutine(coroutine):
            return asyncio.Task(coroutine, loop=loop, **options)
        plugin = self._plugin(_module(frame))
        if not plugin:
            return asyncio.Task(coroutine, loop=loop, **options)
        found = owner.get() or self._of_current(loop) or self._on_stack(frame)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        del frame
        around = contained(coroutine)
        if found is None:
            return asyncio.Task(around, loop=loop, **options)
        context = options.pop("context", None) or copy_context()
        context.run(owner.set, found)
        task = asyncio.Task(around, loop=loop, context=context, **options)
        found.adopt(task, plugin, place)
        return task

    def _plugin(self, module: str) -> str:
        for node in self.nodes:
            plugin = node.guards.owners.plugin_of(module)
            if plugin:
                return plugin
        return ""

    def _of_current(self, loop: asyncio.AbstractEventLoop) -> Owner | None:
        task = asyncio.current_task(loop)
        if task is None:
            return None
        for node in self.nodes:
            connection = node.event_tasks.get(task)
            if connection is not None:
                return connection
        return None

    def _on_stack(self, frame: FrameType) -> Owner | None:
        for depth, each in enumerate(frames_of(frame)):
            if each.f_code in self._raising:
                found: Owner = each.f_locals["self"]
                return found
            if depth == _DEEP:
                break
        return None

    # Nodes of one loop share what makes its tasks.

    @classmethod
    def of(cls, node: Node, raising: frozenset[CodeType]) -> TaskFactory | None:
        """Give what makes the tasks of a node's loop, put there at first use.

        Returns:
            `None` if somebody else makes them, whose business it is.
        """
        found: object = node.loop.get_task_factory()
        if found is None:
            found = cls(raising)
            node.loop.set_task_factory(found)  # type: ignore[arg-type]  # takes what asyncio hands on
        if not isinstance(found, cls):
            return None
        found.nodes.append(node)
        return found

    def leave(self, node: Node) -> None:
        """Look at no tasks of a node any more."""
        self.nodes.remove(node)
        if not self.nodes:
            node.loop.set_task_factory(None)


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__") or ""
