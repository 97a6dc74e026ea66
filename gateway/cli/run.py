"""`gateway run`: serve."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.app import Gateway
from gateway.app.cores import count_workers
from gateway.app.memory import tune_garbage_collection
from gateway.app.supervisor import Supervisor
from gateway.app.worker_process import WorkerStartError
from gateway.cli.common import ConfigFile, fail, out, prepare_or_exit, read_or_exit
from gateway.cli.serving import begin_log, on_signals, run_loop
from gateway.errors import GatewayError
from gateway.server.sockets import listen_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.app import Prepared
    from gateway.config import GatewayConfig, ListenConfig
    from gateway.server.sockets import ListeningSockets

__all__ = ["run"]


def run(
    config: ConfigFile = Path("gateway.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of on listen.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of listen.port; 0 takes a free one.")
    ] = None,
) -> None:
    """Serve gateway.yaml until SIGINT or SIGTERM; a second one does not wait for the connections to end."""
    text = read_or_exit(config)
    prepared = _with_address(prepare_or_exit(config, text), host, port)
    listen = prepared.config.listen
    workers = count_workers(listen.workers)
    sockets = _listen(listen, workers)
    try:
        if workers == 1:
            status = run_loop(_serve(prepared, sockets))
        else:
            supervisor = Supervisor(
                config, text, prepared.config, sockets, workers, begin_log(prepared.config.log)
            )
            status = asyncio.run(_supervise(supervisor, prepared.config, sockets))
    finally:
        sockets.close()
        sockets.remove()
    raise typer.Exit(status)


def _with_address(prepared: Prepared, host: str | None, port: int | None) -> Prepared:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not given:
        return prepared
    listen = prepared.config.listen.model_copy(update={**given, "unix": None})
    return prepared.with_config(prepared.config.model_copy(update={"listen": listen}))


async def _serve(prepared: Prepared, sockets: ListeningSockets) -> int:
    """Serve in this process."""
    config = prepared.config
    log = begin_log(config.log)
    gateway = Gateway(prepared, log)
    starting = asyncio.ensure_future(gateway.start(sockets.of(0)))
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
        log.error("start_failed", exc_info=exc.__cause__ or exc)
        fail(f"cannot start: {exc}")
    except Exception as exc:
        log.exception("start_failed")
        fail(f"cannot start: {type(exc).__name__}: {exc}")
    tune_garbage_collection()
    _announce(gateway, config)
    await stopping.wait()
    draining = asyncio.ensure_future(gateway.stop())
    on_signals(draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        log.warning("stopped_at_once", connections=len(gateway.node.hub))
        return 1
    return 0


async def _supervise(supervisor: Supervisor, config: GatewayConfig, sockets: ListeningSockets) -> int:
    """Have workers serve."""

    def announce(told: Mapping[str, Any]) -> None:
        _announce(_Served(sockets.port, bool(told["serves_page"])), config)

    try:
        return await supervisor.run(announce)
    except GatewayError as exc:
        if isinstance(exc, WorkerStartError) and exc.trace:
            supervisor.log.error("start_failed", exception=exc.trace)
        else:
            supervisor.log.error("start_failed", reason=str(exc))
        fail(f"cannot start: {exc}")


def _listen(listen: ListenConfig, workers: int) -> ListeningSockets:
    try:
        return listen_on(listen, workers)
    except (OSError, UnicodeError) as exc:
        reason = (
            "not the name of a host" if isinstance(exc, UnicodeError) else (exc.strerror or str(exc)).lower()
        )
        where = _authority(listen.host, listen.port) if listen.unix is None else f"unix:{listen.unix}"
        fail(f"cannot listen on {where}: {reason}")


@dataclass(frozen=True)
class _Served:
    """What is served, where workers do it.

    Args:
        port: The TCP port; 0 for a unix-domain socket.
        serves_page: Whether a plugin answers at `/`.
    """

    port: int
    serves_page: bool


def _announce(served: Gateway | _Served, config: GatewayConfig) -> None:
    """Print where a browser and a client find the gateway."""
    console = out()
    listen = config.listen
    secure = "s" if listen.tls is not None else ""
    page, ws = f"http{secure}://", f"ws{secure}://"
    if listen.unix is None:
        # The wildcard addresses are for listening; one cannot connect to them everywhere.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104
        authority = _authority(host, served.port)
        page, ws = page + authority, ws + authority
    else:
        console.print(f"unix  {listen.unix}")
        page = ws = ""
    if served.serves_page:
        console.print(f"page  {page}/")
    for route in config.routes:
        console.print(f"ws    {ws}{route.path}")
    sys.stdout.flush()


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
