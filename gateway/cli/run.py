"""`gateway run`: serve."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.app import Gateway
from gateway.app.memory import tune_garbage_collection
from gateway.cli.common import ConfigFile, fail, out, prepare_or_exit
from gateway.errors import GatewayError
from gateway.observe.logs import make_logger, route_standard_logging
from gateway.server.listener import bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway.app import Prepared
    from gateway.config import GatewayConfig, ListenConfig
    from gateway.observe.logs import Logger

__all__ = ["run"]


def run(
    config: ConfigFile = Path("gateway.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of on listen.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of listen.port; 0 takes a free one.")
    ] = None,
) -> None:
    """Serve gateway.yaml until SIGINT or SIGTERM; a second one does not wait for the connections to end."""
    prepared = _with_address(prepare_or_exit(config), host, port)
    raise typer.Exit(_run_loop(_serve(prepared)))


def _with_address(prepared: Prepared, host: str | None, port: int | None) -> Prepared:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not given:
        return prepared
    listen = prepared.config.listen.model_copy(update=given)
    return prepared.with_config(prepared.config.model_copy(update={"listen": listen}))


def _run_loop(main: Coroutine[Any, Any, int]) -> int:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - not there on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def _serve(prepared: Prepared) -> int:
    config = prepared.config
    log = make_logger(config.log.level, config.log.format)
    _route_logging(log)
    gateway = Gateway(prepared, log)
    starting = asyncio.ensure_future(gateway.start(_bind(config.listen)))
    stopping = asyncio.Event()

    def ask_to_stop() -> None:
        starting.cancel()
        stopping.set()

    _on_signal(ask_to_stop)
    try:
        await starting
    except asyncio.CancelledError:
        log.info("start_cancelled")
        return 0
    except GatewayError as exc:
        log.error("start_failed", exc_info=exc.__cause__ or exc)
        fail(f"cannot start: {exc}")
    except Exception as exc:
        log.exception("start_failed")
        fail(f"cannot start: {type(exc).__name__}: {exc}")
    tune_garbage_collection()
    _announce(gateway, config)
    await stopping.wait()
    draining = asyncio.ensure_future(gateway.stop())
    _on_signal(draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        log.warning("stopped_at_once", connections=len(gateway.node.hub))
        return 1
    return 0


def _on_signal(function: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, function)


def _route_logging(log: Logger) -> None:
    """Turn whatever libraries and plugins log or warn about into log lines of ours."""
    logging.captureWarnings(True)
    # Sanic warns that it is not in debug mode, which is as it should be.
    route_standard_logging(log, "sanic.root", "sanic.error", "sanic.server", level=logging.ERROR)
    route_standard_logging(log, "asyncio")
    route_standard_logging(log, "", level=logging.INFO)


def _bind(listen: ListenConfig) -> socket.socket:
    try:
        return bind(listen.host, listen.port, listen.backlog)
    except (OSError, UnicodeError) as exc:
        reason = (
            "not the name of a host" if isinstance(exc, UnicodeError) else (exc.strerror or str(exc)).lower()
        )
        fail(f"cannot listen on {_authority(listen.host, listen.port)}: {reason}")


def _announce(gateway: Gateway, config: GatewayConfig) -> None:
    """Print where a browser and a client find the gateway."""
    console = out()
    secure = "s" if config.listen.tls is not None else ""
    # The wildcard addresses are for listening; one cannot connect to them everywhere.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.listen.host, config.listen.host)  # noqa: S104
    authority = _authority(host, gateway.port)
    if gateway.serves_page:
        console.print(f"page  http{secure}://{authority}/")
    for route in config.routes:
        console.print(f"ws    ws{secure}://{authority}{route.path}")
    sys.stdout.flush()


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
