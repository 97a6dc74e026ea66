"""Tasks that events begin by themselves, past `start_task`: found, so that none outlives its connection."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.core.loop_threads import whose, whose_code
from gateway.core.owners import frames_of
from gateway.core.stepping import contained

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import CodeType, FrameType

    from gateway.core.node import Node

__all__ = ["Owner", "TaskFactory", "owner"]

_OURS: Final = "gateway."
_DEEP: Final = 100
_BEGIN: Final = "start_task"  # the gateway's own way to begin one for a plugin


class Owner(Protocol):
    """What a task ends with."""

    def adopt(self, task: asyncio.Task[Any], plugin: str, place: str, *, kept: bool = False) -> None:
        """Have a task end with it that a plugin's code has begun at `file:line`.

        Args:
            task: The task.
            plugin: Whose code it is.
            place: Where.
            kept: Whether a library has begun it, which that code called. Then it is told of, and goes on.
        """


owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""What a task ends with, for whatever it begins itself; `None` for nothing."""


class TaskFactory:
    """What makes the tasks of an event loop. Those that a plugin's code begins get an owner.

    Whose task it is shows on the stack where it is begun, so that events pay nothing: the first frame behind
    asyncio's own is of a plugin's module, and further out is the owner, which raises the event. A task
    that a library begins which a plugin has called goes on as it is, since it may be that of a pool, made at
    first use for all; its owner only tells of it.

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
        if frame is None or not asyncio.iscoroutine(coroutine):
            return asyncio.Task(coroutine, loop=loop, **options)
        ours = _module(frame).startswith(_OURS)
        plugin = "" if ours else self._plugin(_module(frame))
        if not plugin:
            if not ours or frame.f_code.co_name == _BEGIN:
                _note(whose_code(frame, self._plugin), options)
            task = asyncio.Task(coroutine, loop=loop, **options)
            if not ours:
                self._tell_owner(loop, task, frame.f_back)
            return task
        found = owner.get() or self._of_current(loop) or self._on_stack(frame)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        del frame
        around = contained(coroutine)
        context = _note(plugin, options)
        if found is None:
            return asyncio.Task(around, loop=loop, **options)
        context.run(owner.set, found)
        task = asyncio.Task(around, loop=loop, **options)
        found.adopt(task, plugin, place)
        return task

    def _tell_owner(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], frame: FrameType | None
    ) -> None:
        """Have the owner know of a task that a library has begun, if a plugin has called the library."""
        for depth, each in enumerate(frames_of(frame)):
            module = _module(each)
            if depth == _DEEP or module.startswith(_OURS):
                return  # the gateway has called it for itself
            if plugin := self._plugin(module):
                found = owner.get() or self._of_current(loop) or self._on_stack(each)
                if found is not None:
                    found.adopt(task, plugin, f"{each.f_code.co_filename}:{each.f_lineno}", kept=True)
                return

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


def _note(plugin: str | None, options: dict[str, Any]) -> Context:
    """Note whose code begins a task in the context that it gets; give that."""
    context = options.get("context")
    if context is None:
        context = options["context"] = copy_context()
    if plugin is not None:
        with suppress(RuntimeError):  # whoever gives one that is in use knows what its tasks see
            context.run(whose.set, plugin)
    return context


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__") or ""
