"""Ways to authenticate and admission hooks that fail or never answer: counted, and named in the log."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.auth.pipeline import asked_at
from gateway.core.culprits import where
from gateway.core.owners import frames_that_wait
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from types import FrameType

    from gateway.auth.pipeline import Asked
    from gateway.core.node import Node

__all__ = ["HOOK", "FailedChecks"]

Answer = TypeVar("Answer")

HOOK: Final = "gateway_admit"
"""What an admission hook is called; a way is called by its own name."""


class FailedChecks:
    """The failures of a node's checks. They stop no plugin: who cannot be judged is not let in.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = node.log.bind(logger="gateway.openings")

    async def within(self, seconds: float, judging: Coroutine[Any, Any, Answer], **fields: Any) -> Answer:
        """Wait for checks of a plain request, and tell of one that fails.

        Args:
            seconds: For how long they may judge.
            judging: The coroutine that waits for them.
            fields: What the log line says besides.

        Raises:
            Refused: As they say; `check_timeout` if they are late, `internal_error` if they raise.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def give_up() -> None:
            self.late(judging, seconds=seconds, **fields)
            deadline.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as deadline:
                timer = loop.call_later(seconds, give_up)
                try:
                    return await judging
                except Refused:
                    raise
                except (Exception, asyncio.CancelledError) as exc:
                    if task is not None and task.cancelling():
                        raise  # it is late, or whoever has asked has gone
                    self.failed(exc, **fields)
                    raise refuse("internal_error") from None
                finally:
                    timer.cancel()
        except TimeoutError:
            raise refuse("check_timeout") from None

    def failed(self, error: BaseException, **fields: Any) -> None:
        """Tell of a check that raised.

        Args:
            error: What it raised.
            fields: What the log line says besides.
        """
        steps = list(walk_tb(error.__traceback__))
        asked = asked_at(frame for frame, _ in steps)
        if asked is not None:
            fields |= self._name(asked, "error", steps)
        self._log.error("opening_check_failed", **{"where": where(error)} | fields, exc_info=error)

    def late(self, judging: Coroutine[Any, Any, Any], **fields: Any) -> None:
        """Tell of a check that has not answered in time, if it is one that is waited for.

        Args:
            judging: The coroutine that waits for it.
            fields: What the log line says besides.
        """
        frames = list(frames_that_wait(judging))
        asked = asked_at(frames)
        if asked is not None:
            fields |= self._name(asked, "timeout", [(frame, frame.f_lineno) for frame in frames])
            self._log.error("opening_check_timeout", **fields)

    def _name(self, asked: Asked, kind: str, steps: Sequence[tuple[FrameType, int]]) -> dict[str, Any]:
        """Count a failure; give what the log says of it.

        The place is the innermost line of the plugin, or where its function begins.
        """
        guards = self._node.guards
        plugin = guards.ways.get(asked.name, "") if asked.is_way else asked.name
        check = asked.name if asked.is_way else HOOK
        self._node.metrics.checks_failed[plugin, check, kind] += 1
        found: dict[str, Any] = {"plugin": plugin or None, "check": check}
        code = None
        with suppress(Exception):  # a plugin's object, which may give anything
            code = inspect.unwrap(asked.function).__code__
        if code is not None:
            found["where"] = f"{code.co_filename}:{code.co_firstlineno}"
        for frame, line in steps:
            if frame.f_code is code or (plugin and guards.owners.place(frame).plugin == plugin):
                found["where"] = f"{frame.f_code.co_filename}:{line}"
        return found
