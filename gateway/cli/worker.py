"""`gateway worker`: one worker of several. The supervisor starts it; nobody else can."""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import SecretStr

from gateway.app.embedding import with_embedded
from gateway.app.lifeline import Errand, Leave, Lifeline
from gateway.app.memory import tune_garbage_collection
from gateway.app.prepare import prepare
from gateway.app.process import Gateway
from gateway.children.leash import die_with_parent
from gateway.cli.common import ConfigFile  # noqa: TC001  (typer evaluates annotations)
from gateway.cli.ending import end_soon
from gateway.cli.serving import begin_log, on_signals, run_loop
from gateway.cli.telling import as_text
from gateway.config import ConfigError
from gateway.errors import GatewayError
from gateway.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared

__all__ = ["worker"]

_STOP: Final = (CloseCode.GOING_AWAY, "the gateway stops")
_RESTART: Final = (CloseCode.SERVICE_RESTART, "the gateway restarts")
# Of the time to start, to end what has begun, and to tell who is late.
_REST: Final = 0.25
_LONGEST_REST_SECONDS: Final = 5.0


def worker(
    slot: Annotated[int, typer.Option(help="The number of its slot.")],
    parent: Annotated[int, typer.Option(help="The supervisor's process id.")],
    listening: Annotated[int, typer.Option("--socket", help="Descriptor of the listening socket.")],
    line: Annotated[int, typer.Option(help="Descriptor of the line to the supervisor.")],
    config: ConfigFile = Path("gateway.yaml"),
) -> None:
    """Serve as one of several workers. `gateway run` starts them."""
    die_with_parent(parent)
    lifeline = Lifeline(_inherit(line))
    try:
        errand = lifeline.receive()
        prepared = _prepared(config, errand)
    except EOFError:
        raise typer.Exit(1) from None
    except Exception as exc:  # noqa: BLE001 - told to the supervisor, which logs it
        _tell(lifeline, exc)
        raise typer.Exit(1) from None
    admin = errand.admin_of(slot)
    bound = _inherit(listening), None if admin is None else _inherit(admin)

    def ended(status: int) -> None:
        end_soon(status, prepared.config.log, worker=slot)

    raise typer.Exit(run_loop(_serve(prepared, bound, lifeline, errand, slot), ended))


def _inherit(descriptor: int) -> socket.socket:
    """Take over a socket, which no program that a plugin starts is to have."""
    inherited = socket.socket(fileno=descriptor)
    inherited.set_inheritable(False)
    return inherited


def _prepared(path: Path, errand: Errand) -> Prepared:
    prepared = prepare(path, text=errand.text)
    config = prepared.config
    address = {
        "host": errand.host,
        "port": errand.port,
        "unix": None if errand.unix is None else Path(errand.unix),
    }
    update: dict[str, Any] = {
        "listen": config.listen.model_copy(update=address),
        "resume": config.resume.model_copy(update={"key": SecretStr(errand.resume_key)}),
    }
    if errand.revocations is not None and config.revocation.file is None:
        # They outlive this worker: its successor refuses whom it refuses.
        file = Path(errand.revocations)
        update["revocation"] = config.revocation.model_copy(update={"file": file})
    config = config.model_copy(update=update)
    if errand.broker is not None:
        config = with_embedded(config, *errand.broker)
    return prepared.with_config(config)


async def _serve(
    prepared: Prepared,
    bound: tuple[socket.socket, socket.socket | None],
    lifeline: Lifeline,
    errand: Errand,
    slot: int,
) -> int:
    log = begin_log(prepared.config.log, worker=slot)
    seconds = _start_seconds(prepared.config.listen.worker_start_seconds, errand.ready_by)
    gateway = Gateway(prepared, log, share=lifeline.share, slot=slot, start_seconds=seconds)
    starting = asyncio.ensure_future(gateway.start(*bound))
    leaving: asyncio.Future[Leave] = asyncio.get_running_loop().create_future()

    def leave(how: Leave) -> None:
        starting.cancel()
        if not leaving.done():
            leaving.set_result(how)

    # Whoever ends this process alone gets another one in its place. A second signal changes nothing: it may
    # be one to the whole group, and only the supervisor ends all at once.
    on_signals(lambda: leave(Leave(restart=True)))
    lifeline.begin(errand.beat_seconds, leave)
    try:
        await starting
    except asyncio.CancelledError:
        log.info("start_cancelled")
        return 0
    except Exception as exc:  # noqa: BLE001 - told to the supervisor, which logs it
        _tell(lifeline, exc)
        return 1
    tune_garbage_collection()
    if gateway.figures is not None:
        lifeline.figures = gateway.figures.read
    lifeline.ready(node=gateway.node.name, serves_page=gateway.serves_page)
    how = await leaving
    await gateway.stop(*(_RESTART if how.restart else _STOP), hand_over=how.hand_over)
    lifeline.end()
    return 0


def _start_seconds(seconds: float, ready_by: float) -> float:
    """Give for how long plugins may start, so that this worker can name who is late before it is killed.

    Args:
        seconds: Within which the worker has to be ready.
        ready_by: When it has to be, by the monotonic clock.
    """
    rest = min(seconds * _REST, _LONGEST_REST_SECONDS)
    return max(min(seconds, ready_by - time.monotonic()) - rest, 0.0)


def _tell(lifeline: Lifeline, error: Exception) -> None:
    """Tell the supervisor why this worker cannot start."""
    if isinstance(error, ConfigError):
        lifeline.failed(as_text(error.problems), "", verdict=True)
        return
    known = isinstance(error, GatewayError)
    # The gateway's own words say all; where it failed is worth telling of what it did not expect.
    cause = error.__cause__ if known else error
    fact = str(error) if known else f"{type(error).__name__}: {error}"
    lifeline.failed(fact, "" if cause is None else "".join(traceback.format_exception(cause)))
