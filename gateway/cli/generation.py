"""`gateway generation`: serve what code and YAML say now. `gateway dev` starts it; nobody else can."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import suppress
from pathlib import Path
from traceback import print_exception
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.app.prepare import judge
from gateway.app.process import Gateway
from gateway.children.leash import die_with_parent
from gateway.cli.common import ConfigFile, fail, out
from gateway.cli.ending import end_soon
from gateway.cli.passing import Passing
from gateway.cli.serving import begin_log, on_signals, run_loop
from gateway.cli.sources import loaded_roots, plugin_roots
from gateway.cli.telling import as_text
from gateway.core.tap import Tap
from gateway.errors import GatewayError
from gateway.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared
    from gateway.config import GatewayConfig

__all__ = ["generation"]


def generation(
    parent: Annotated[int, typer.Option(help="The process id of `gateway dev`.")],
    line: Annotated[int, typer.Option(help="Descriptor of the line to it.")],
    listening: Annotated[int, typer.Option("--socket", help="Descriptor of the listening socket; -1: none.")],
    config: ConfigFile = Path("gateway.yaml"),
    quiet: Annotated[bool, typer.Option(help="Show no messages.")] = False,
) -> None:
    """Serve until the next change. `gateway dev` starts it."""
    die_with_parent(parent)
    ours = socket.socket(fileno=line)
    ours.set_inheritable(False)
    _tell(ours, roots=plugin_roots())
    if not ours.recv(1):  # it knows now what the files are before they are read
        raise typer.Exit(1)
    prepared = _prepared(config)
    if listening < 0:
        raise typer.Exit(1)  # the file was mended meanwhile, and there will be another generation
    bound = socket.socket(fileno=listening)
    bound.set_inheritable(False)
    prepared = prepared.with_config(_for_development(prepared.config, bound.getsockname()[0]))
    log = prepared.config.log
    raise typer.Exit(
        run_loop(_serve(prepared, bound, ours, quiet=quiet), lambda status: end_soon(status, log))
    )


def _tell(ours: socket.socket, **told: Any) -> None:
    with suppress(OSError):
        ours.sendall(json.dumps(told).encode() + b"\n")


def _prepared(path: Path) -> Prepared:
    """Judge the configuration; if it has errors, print them with the tracebacks of plugins, and exit."""
    judged = judge(path)
    if judged.prepared is None:
        for problem in judged.plugins.problems if judged.plugins is not None else ():
            if problem.__cause__ is not None:
                print_exception(problem.__cause__)
        fail(as_text(judged.problems))
    if judged.problems:
        typer.echo(as_text(judged.problems), err=True)
    return judged.prepared


def _for_development(config: GatewayConfig, host: str) -> GatewayConfig:
    """Give the configuration as it is served to the author alone."""
    alone: dict[str, Any] = {"host": host, "unix": None, "workers": 1, "drain_seconds": 0}
    update = {
        "listen": config.listen.model_copy(update=alone),
        "admin": config.admin.model_copy(update={"host": "127.0.0.1"}),
        "log": config.log.model_copy(update={"format": "console"}),
    }
    return config.model_copy(update=update)


async def _serve(prepared: Prepared, bound: socket.socket, ours: socket.socket, *, quiet: bool) -> int:
    log = begin_log(prepared.config.log, local=True)
    address = bound.getsockname()
    gateway = Gateway(prepared, log, tap=None if quiet else Tap(Passing(out())))
    starting = asyncio.ensure_future(gateway.start(bound))
    leaving: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def leave(restart: bool) -> None:
        starting.cancel()
        if not leaving.done():
            leaving.set_result(restart)

    on_signals(lambda: leave(restart=False))
    try:
        await starting
    except asyncio.CancelledError:
        return 0
    except Exception as exc:  # noqa: BLE001 - the author's code: shown, and the next change mends it
        print_exception(exc.__cause__ or exc)
        fact = str(exc) if isinstance(exc, GatewayError) else f"{type(exc).__name__}: {exc}"
        typer.echo(f"cannot start: {fact}", err=True)
        return 1
    _announce(gateway, prepared.config, address)
    _tell(ours, roots=loaded_roots(), ready=True)
    ours.setblocking(False)
    asyncio.get_running_loop().add_reader(ours, lambda: leave(restart=_read(ours)))
    if await leaving:
        await gateway.stop(CloseCode.SERVICE_RESTART, "something was changed", hand_over=True)
    else:
        await gateway.stop()
    return 0


def _read(ours: socket.socket) -> bool:
    """Tell whether there will be another generation."""
    asyncio.get_running_loop().remove_reader(ours)
    with suppress(OSError):
        return ours.recv(1) == b"r"
    return False


def _announce(gateway: Gateway, config: GatewayConfig, address: tuple[Any, ...]) -> None:
    console = out()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    secure = "s" if config.listen.tls is not None else ""
    if gateway.serves_page:
        console.print(f"page  http{secure}://{host}:{address[1]}/")
    for route in config.routes:
        console.print(f"ws    ws{secure}://{host}:{address[1]}{route.path}")
    sys.stdout.flush()
