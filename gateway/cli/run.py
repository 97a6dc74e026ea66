"""`gateway run`: serve."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.app.cores import count_workers
from gateway.app.embedding import can_do_without
from gateway.app.notify import Notifier
from gateway.app.runtime import RuntimeFolder, RuntimeFolderError
from gateway.app.serving import Served
from gateway.app.supervisor import Supervisor
from gateway.app.worker_process import WorkerStartError
from gateway.broker.embedded import find_program
from gateway.cli.common import ConfigFile, fail, out, prepare_or_exit, read_or_exit
from gateway.cli.serving import begin_log, run_loop
from gateway.config import ConfigError, load_config
from gateway.errors import GatewayError
from gateway.server.activation import ActivationError, activated
from gateway.server.sockets import listen_on, listen_on_admin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import GatewayConfig, ListenConfig
    from gateway.server.sockets import ListeningSockets

__all__ = ["run"]


def run(
    config: ConfigFile = Path("gateway.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of on listen.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of listen.port; 0 takes a free one.")
    ] = None,
    admin_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of admin.port; 0 takes a free one.")
    ] = None,
    in_process: Annotated[
        bool,
        typer.Option(
            "--in-process",
            help="Serve in this process, without a supervisor: no reload, nothing is replaced.",
        ),
    ] = False,
) -> None:
    """Serve gateway.yaml until SIGINT or SIGTERM; a second one does not wait for the connections to end."""
    text = read_or_exit(config)
    alone = in_process or sys.platform == "win32"
    prepared = prepare_or_exit(config, text) if alone else None
    read = _config_or_exit(config, text) if prepared is None else prepared.config
    options = {"listen": (host, port), "admin": (admin_port,)}
    addressed = {section for section, given in options.items() if any(one is not None for one in given)}
    served = Served(config, text, _with_address(read, host, port, admin_port), frozenset(addressed))
    listen = served.config.listen
    workers = count_workers(listen.workers)
    if alone and workers > 1:
        fail("cannot serve in one process: listen.workers asks for several")
    notifier = Notifier()
    sockets = _listen(listen, workers)
    sockets.admin = _listen_for_operators(served.config, sockets, workers)
    folder = None
    try:
        if prepared is not None:
            # Most of what a gateway is, and nothing for a supervisor.
            from gateway.cli.alone import serve_alone  # noqa: PLC0415
            from gateway.cli.ending import end_soon  # noqa: PLC0415

            log = served.config.log
            status = run_loop(
                serve_alone(
                    prepared.with_config(served.config),
                    sockets,
                    notifier,
                    lambda gateway: _announce(
                        _Announced(gateway.port, gateway.serves_page, gateway.admin_port), served.config
                    ),
                ),
                lambda status: end_soon(status, log),
            )
        else:
            folder = _take_folder(served)
            status = asyncio.run(_supervise(served, sockets, workers, folder, notifier))
    finally:
        if folder is not None:
            folder.close()
        sockets.close()
        sockets.remove()
        notifier.close()
    raise typer.Exit(status)


def _config_or_exit(path: Path, text: str) -> GatewayConfig:
    """Read the configuration; what the plugins say of it, the workers will find out."""
    try:
        config = load_config(path, text=text).config
    except ConfigError:
        return prepare_or_exit(path, text).config  # with all that is wrong
    if can_do_without(config) or find_program() is not None:
        return config
    return prepare_or_exit(path, text).config


def _with_address(
    config: GatewayConfig, host: str | None, port: int | None, admin_port: int | None
) -> GatewayConfig:
    if admin_port is not None:
        config = config.model_copy(update={"admin": config.admin.model_copy(update={"port": admin_port})})
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not given:
        return config
    listen = config.listen.model_copy(update={**given, "unix": None})
    return config.model_copy(update={"listen": listen})


def _take_folder(served: Served) -> RuntimeFolder | None:
    config = served.config
    try:
        return RuntimeFolder.take(served.path, config.runtime_folder)
    except RuntimeFolderError as exc:
        if config.runtime_folder is not None:
            fail(str(exc))
        # Signals reach it without one, and serving matters more.
        begin_log(config.log).warning("runtime_folder_unusable", folder=str(exc.folder), reason=exc.fact)
        return None


async def _supervise(
    served: Served,
    sockets: ListeningSockets,
    workers: int,
    folder: RuntimeFolder | None,
    notifier: Notifier,
) -> int:
    """Have workers serve."""
    supervisor = Supervisor(served, sockets, workers, begin_log, folder, notifier)

    def announce(told: Mapping[str, Any]) -> None:
        admin_port = None if sockets.admin is None else sockets.admin.port
        _announce(_Announced(sockets.port, bool(told["serves_page"]), admin_port), served.config)

    try:
        return await supervisor.run(announce)
    except GatewayError as exc:
        if isinstance(exc, WorkerStartError) and exc.is_verdict:
            fail(exc.fact)
        if isinstance(exc, WorkerStartError) and exc.trace:
            supervisor.log.error("start_failed", exception=exc.trace)
        else:
            supervisor.log.error("start_failed", reason=str(exc))
        fail(f"cannot start: {exc}")


def _listen(listen: ListenConfig, workers: int) -> ListeningSockets:
    try:
        return activated(listen) or listen_on(listen, workers)
    except ActivationError as exc:
        fail(str(exc))
    except (OSError, UnicodeError) as exc:
        where = _authority(listen.host, listen.port) if listen.unix is None else f"unix:{listen.unix}"
        fail(f"cannot listen on {where}: {_reason(exc)}")


def _listen_for_operators(
    config: GatewayConfig, sockets: ListeningSockets, workers: int
) -> ListeningSockets | None:
    try:
        return listen_on_admin(config, workers)
    except (OSError, UnicodeError) as exc:
        sockets.close()
        sockets.remove()
        fail(f"cannot listen on {_authority(config.admin.host, config.admin.port or 0)}: {_reason(exc)}")


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not the name of a host"
    return (error.strerror or str(error)).lower()


@dataclass(frozen=True)
class _Announced:
    """What is served, where workers do it.

    Args:
        port: The TCP port; 0 for a unix-domain socket.
        serves_page: Whether a plugin answers at `/`.
        admin_port: The TCP port for operators; `None` without one.
    """

    port: int
    serves_page: bool
    admin_port: int | None = None


def _announce(served: _Announced, config: GatewayConfig) -> None:
    """Print where a browser and a client find the gateway."""
    console = out()
    listen = config.listen
    secure = "s" if listen.tls is not None else ""
    page, ws = f"http{secure}://", f"ws{secure}://"
    if listen.unix is None:
        authority = _authority(_reached_at(listen.host), served.port)
        page, ws = page + authority, ws + authority
    else:
        console.print(f"unix  {listen.unix}")
        page = ws = ""
    if served.serves_page:
        console.print(f"page  {page}/")
    for route in config.routes:
        console.print(f"ws    {ws}{route.path}")
    if served.admin_port is not None:
        console.print(f"admin http://{_authority(_reached_at(config.admin.host), served.admin_port)}/admin")
    sys.stdout.flush()


def _reached_at(host: str) -> str:
    """Give where a host is reached: one cannot connect everywhere to the addresses that listen on all."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
