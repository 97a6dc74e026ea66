"""`gateway run`: serve."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.app import Gateway
from gateway.cli.common import ConfigFile, fail, out, prepare_or_exit
from gateway.observe.logs import make_logger, route_standard_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway.app import Prepared
    from gateway.config import GatewayConfig

__all__ = ["run"]


def run(
    config: ConfigFile = Path("gateway.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of on listen.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of listen.port.")] = None,
) -> None:
    """Serve gateway.yaml until SIGINT or SIGTERM."""
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
    route_standard_logging(log, "sanic.root", "sanic.error", "sanic.server", "asyncio")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    gateway = Gateway(prepared, log)
    try:
        await gateway.start()
    except OSError as exc:
        place = f"{config.listen.host}:{config.listen.port}"
        fail(f"cannot listen on {place}: {(exc.strerror or str(exc)).lower()}")
    _announce(gateway, config)
    await stopping.wait()
    # A second signal does not wait for the drain.
    draining = asyncio.ensure_future(gateway.stop())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        log.warning("stopped_at_once", connections=len(gateway.node.hub))
        return 1
    return 0


def _announce(gateway: Gateway, config: GatewayConfig) -> None:
    """Print where a browser and a client find the gateway."""
    console = out()
    host = config.listen.host
    shown = f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104
    secure = "s" if config.listen.tls is not None else ""
    authority = f"{shown}:{gateway.port}"
    if gateway.serves_page:
        console.print(f"page  http{secure}://{authority}/", markup=False)
    for route in config.routes:
        console.print(f"ws    ws{secure}://{authority}{route.path}", markup=False)
    sys.stdout.flush()
