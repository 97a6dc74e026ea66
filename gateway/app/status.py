"""What runs, as plain data, for `gateway status`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import gateway

if TYPE_CHECKING:
    from gateway.app.supervisor import Supervisor
    from gateway.app.worker_process import WorkerProcess

__all__ = ["tell_status_of"]

_CONNECTIONS = "gateway_worker_connections"
_BROKER_UP = "gateway_broker_up"


def tell_status_of(supervisor: Supervisor) -> dict[str, Any]:
    """Give the state of a gateway: its workers, their connections, its broker, and the last reload."""
    generations = supervisor.generations
    config = generations.served.config
    listen = config.listen
    current = generations.current
    workers = []
    for generation in (*generations.former, *(() if current is None else (current,))):
        workers += [_worker(slot, one, leaving=generation.leaving) for slot, one in generation.workers]
    counts = [one["connections"] for one in workers if one["connections"] is not None]
    ups = [one.pop("broker_up") for one in workers]
    up = None if None in ups or not ups else all(ups)
    last = generations.last_reload
    return {
        "pid": os.getpid(),
        "version": gateway.__version__,
        "file": str(generations.served.path.absolute()),
        "since": supervisor.started_at,
        "state": "starting" if current is None else "stopping" if current.leaving else "serving",
        "address": str(listen.unix) if listen.unix is not None else f"{listen.host} port {supervisor.port}",
        "connections": sum(counts) if counts or not workers else None,
        "broker": {"type": config.broker.type, "embedded": supervisor.embedding.server is not None, "up": up},
        "workers": workers,
        "last_reload": None if last is None else last.to_plain(),
    }


def _worker(slot: int, worker: WorkerProcess, *, leaving: bool) -> dict[str, Any]:
    figures = worker.figures or {}
    count = figures.get(_CONNECTIONS, {}).get(())
    up = figures.get(_BROKER_UP, {}).get(())
    ready = worker.ready_at is not None
    state = "draining" if leaving else "starting" if not ready else "serving" if worker.answers else "silent"
    return {
        "worker": slot,
        "pid": worker.pid,
        "node": worker.started.result()["node"] if ready else None,
        "state": state,
        "since": time.time() - worker.age,
        "connections": None if count is None else int(count),  # type: ignore[arg-type]
        "broker_up": None if up is None else bool(up),
    }
