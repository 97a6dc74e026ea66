"""What the commands share that serve: the event loop, the log, and signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.tasks import _unregister_task
from typing import TYPE_CHECKING, Any, Final

from gateway.observe.logs import (
    make_logger,
    route_standard_logging,
    route_uncatchable,
    set_standard_levels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.config import LogConfig
    from gateway.observe.logs import Logger

__all__ = ["begin_log", "on_signals", "run_loop"]

_STUBBORN_SECONDS: Final = 1.0


def run_loop(main: Coroutine[Any, Any, int], ended: Callable[[int], object]) -> int:
    """Run a coroutine on the event loop that serves; give what it returns.

    Args:
        main: The coroutine.
        ended: Is called with that before what is left on the event loop is ended.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - not there on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_run(main, ended))


async def _run(main: Coroutine[Any, Any, int], ended: Callable[[int], object]) -> int:
    try:
        status = await main
        ended(status)
        return status
    finally:
        await _end_tasks()


async def _end_tasks() -> None:
    """Cancel the tasks that are left; one that goes on all the same is left behind.

    Asyncio would wait without end for a plugin's task that cannot be cancelled.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, stubborn = await asyncio.wait(left, timeout=_STUBBORN_SECONDS)
        for task in stubborn:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is no mistake of ours
            _unregister_task(task)


def begin_log(config: LogConfig, *, local: bool = False, **fields: object) -> Logger:
    """Make the log, and turn whatever libraries and plugins log or warn about into lines of it.

    Args:
        config: What is logged, and how.
        local: Whether lines have the local time of the day, as `make_logger` takes it.
        fields: What every line says.
    """
    log: Logger = make_logger(config.level, config.format, levels=config.levels, local=local).bind(**fields)
    logging.captureWarnings(True)
    # Sanic warns that it is not in debug mode, which is as it should be.
    route_standard_logging(log, "sanic.root", "sanic.error", "sanic.server", level=logging.ERROR)
    route_standard_logging(log, "asyncio")
    route_standard_logging(log, "", level=logging.INFO)
    set_standard_levels(config.levels)
    route_uncatchable(log)
    return log


def on_signals(function: Callable[[], object]) -> None:
    """Call a function at SIGINT and SIGTERM, in place of what was called before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, function)
