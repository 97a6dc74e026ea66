"""The threads that the event loop has of itself, as for `asyncio.to_thread`: each plugin gets its own."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from gateway.core.owners import frames_of
from gateway.core.threads import Threads

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from gateway.core.guard import Guards

__all__ = ["LoopThreads", "whose", "whose_code"]

# What of the gateway calls functions that block. The other parts call plugins' code.
_OURS: Final = ("gateway.server.", "gateway.auth.", "gateway.broker.", "gateway.admin.", "gateway.observe.")
_DEEP: Final = 100
_TURN: Final = ("asyncio.events", "_run")  # of the event loop
_MOST: Final = min(32, (os.cpu_count() or 1) + 4)  # as asyncio has it

whose: ContextVar[str | None] = ContextVar("whose", default=None)
"""The plugin whose code has begun what runs; empty for the gateway itself, `None` where that is not known."""


def whose_code(frame: FrameType | None, plugin_of: Callable[[str], str]) -> str | None:
    """Tell whose code is nearest on a stack.

    Args:
        frame: The innermost frame.
        plugin_of: Gives the plugin that a module is of; empty if it is none's.

    Returns:
        The plugin; empty for the gateway itself, `None` if it is neither's.
    """
    for depth, each in enumerate(frames_of(frame)):
        module = each.f_globals.get("__name__") or ""
        # Further out is who runs the event loop, whatever it does.
        if depth == _DEEP or module == "asyncio.runners" or (module, each.f_code.co_name) == _TURN:
            break
        if plugin := plugin_of(module):
            return plugin
        if module.startswith(_OURS):
            return ""
    return None


class LoopThreads(ThreadPoolExecutor):
    """What an event loop takes for its default executor.

    Whoever calls `asyncio.to_thread`, or `run_in_executor` without an executor, gets threads of the plugin
    whose code that is. The gateway's own calls have some of their own, and so have those of libraries
    that nobody is known to have begun. None of these threads holds up the end of the process.

    Args:
        guards: What has the plugins' threads.
        loop: The event loop.
    """

    def __init__(self, guards: Guards, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(1)  # it never begins a thread
        self._guards = guards
        self._own = Threads("itself", _MOST, loop)
        self._others = Threads("others", _MOST, loop)
        self._left = False

    # Event loops take any awaitable future, and hand on one of asyncio's as it is.
    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in a thread of whoever asks for it."""
        return self._of(sys._getframe(1)).run(function, *args, **kwargs)  # noqa: SLF001 - there is no other way

    def _of(self, frame: FrameType) -> Threads:
        if self._left:
            return self._others
        found = whose_code(frame, self._guards.owners.plugin_of)
        if found is None:
            found = whose.get()
        if found is None:
            return self._others
        return self._guards.of(found).threads if found else self._own

    def leave(self) -> None:
        """Use the plugins' threads no more, as their node has stopped; event loops do not let go of this."""
        self._left = True
        self._own.close()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads go, and wait for none."""
        del wait, cancel_futures
        self.leave()
        self._others.close()
        super().shutdown(wait=False)
