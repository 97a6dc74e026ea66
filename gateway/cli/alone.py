"""Serving in the process of the command itself, without a supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.app.memory import tune_garbage_collection
from gateway.app.process import Gateway
from gateway.cli.common import fail
from gateway.cli.serving import begin_log, on_signals
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.app.notify import Notifier
    from gateway.app.prepare import Prepared
    from gateway.server.sockets import ListeningSockets

__all__ = ["serve_alone"]


async def serve_alone(
    prepared: Prepared,
    sockets: ListeningSockets,
    notifier: Notifier,
    announce: Callable[[Gateway], object],
) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        prepared: The judged configuration.
        sockets: What is served.
        notifier: Who is told what it does.
        announce: Is called once, when it serves.

    Returns:
        The exit status: 0; 1 if a second signal came.
    """
    log = begin_log(prepared.config.log)
    gateway = Gateway(prepared, log)
    starting = asyncio.ensure_future(
        gateway.start(sockets.of(0), None if sockets.admin is None else sockets.admin.of(0))
    )
    stopping = asyncio.Event()

    def ask_to_stop() -> None:
        starting.cancel()
        stopping.set()

    on_signals(ask_to_stop)
    try:
        await starting
    except asyncio.CancelledError:
        log.info("start_cancelled")
        return 0
    except GatewayError as exc:
        if exc.__cause__ is None:
            log.error("start_failed", reason=str(exc))
        else:
            log.error("start_failed", exc_info=exc.__cause__)
        fail(f"cannot start: {exc}")
    except Exception as exc:
        log.exception("start_failed")
        fail(f"cannot start: {type(exc).__name__}: {exc}")
    tune_garbage_collection()
    announce(gateway)
    notifier.ready("serves")
    watchdog = asyncio.ensure_future(_tell_that_it_lives(notifier))
    await stopping.wait()
    notifier.stopping()
    draining = asyncio.ensure_future(gateway.stop(hand_over=sockets.held))
    on_signals(draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        log.warning("stopped_at_once", connections=len(gateway.node.hub))
        return 1
    finally:
        watchdog.cancel()
    return 0


async def _tell_that_it_lives(notifier: Notifier) -> None:
    while notifier.watchdog_seconds is not None:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog_seconds / 3)
