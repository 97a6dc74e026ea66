"""A fault plugin beside a witness: `.venv/bin/python tests/bench/isolation.py --help`.

A witness echoes at a fixed rate on a route of its own, while connections of a plugin that does everything
wrong come and go: from before its first fault until its deadlines, its cancels and the reaping of its tasks
are over. Before each fault the same connections come and go beside it, and nothing goes wrong. Its 99th
percentile stays within twice what it was then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from harness import machine
from harness.servers import Server, started
from harness.witness import Aside, Seen, watch
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

FAULTS = (
    "raises",
    "raises_later",
    "exits",
    "exits_later",
    "never_returns",
    "never_gives_up",
    "leaks",
    "leaks_later",
    "floods",
    "junk",
    "other_junk",
)
EVENTS = ("open", "message", "close", "join", "leave", "change")
CALM = "nothing"
EVENT_SECONDS = 0.2
GRACE_SECONDS = 0.1
STAY_SECONDS = 0.5
OVER_SECONDS = 1.0
"""Within which the last fault is over; one that will not be cancelled is given up five seconds later."""
STUBBORN = "never_gives_up"
STUBBORN_SECONDS = 5.0
LIMIT = 2.0
FLOOR_SECONDS = 0.003
"""A p99 below this counts as this: without faults it is 0.4 to 1.7 ms on two shared cores."""
PLUGIN = """
from faults import Fault
from gateway import hookimpl

@hookimpl
def gateway_handlers():
    return {"fault": Fault}
"""


def main(
    *,
    only: Annotated[list[str] | None, typer.Option(help="Measure only this fault; repeatable.")] = None,
    rate: Annotated[int, typer.Option(min=1, help="Messages a second of the witness.")] = 500,
    clients: Annotated[int, typer.Option(min=1, help="Connections at once for each event.")] = 3,
    busy: Annotated[float, typer.Option(min=0.1, help="Seconds in which faults begin.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="How often it is done.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 above the limit.")] = False,
) -> None:
    """Have everything go wrong beside a witness, and print what it saw."""
    server_core, client_core = machine.cores()
    out = Console(highlight=False, width=160)
    ratios: dict[str, list[float]] = {fault: [] for fault in only or FAULTS}
    calm: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        isolation = Path(__file__).parents[1] / "isolation"
        os.environ["PYTHONPATH"] = os.pathsep.join((folder, str(isolation)))
        command = (sys.executable, "-m", "gateway", "run", "-c", f"{folder}/gateway.yaml")
        server = Server("gateway", (*command, "--port", "{port}", "--in-process"))
        with started(server, server_core) as running, machine.pinned(client_core):
            witness = Aside(watch, running.port, rate, None)
            culprit = Aside(misbehave, running.port, clients, busy)

            def see(fault: str, seconds: float) -> Seen:
                witness.ask(seconds)
                culprit.ask(fault)
                seen: Seen = witness.answer()
                culprit.answer()
                return seen

            see(CALM, busy + OVER_SECONDS)  # warms up
            for _ in range(rounds):
                for fault, found in ratios.items():
                    seconds = busy + OVER_SECONDS + STUBBORN_SECONDS * (fault == STUBBORN)
                    before, during = see(CALM, seconds), see(fault, seconds)
                    calm.append(before.p99)
                    found.append(max(during.p99, FLOOR_SECONDS) / max(before.p99, FLOOR_SECONDS))
                    out.print(f"{fault:15} before: {before}")
                    out.print(f"{'':15} during: {during}; {during.p99 / before.p99:.2f} times")
    calm.sort()
    out.print(
        f"p99 without faults: {calm[0] * 1e3:.2f} to {calm[-1] * 1e3:.2f} ms, median {median(calm) * 1e3:.2f}"
    )
    for fault, found in ratios.items():
        out.print(f"{fault:15} {median(found):.2f} times, median of {rounds}; limit {LIMIT:.0f}")
    if strict and any(median(found) > LIMIT for found in ratios.values()):
        raise typer.Exit(2)


def write_files(folder: Path) -> None:
    """Write gateway.yaml, and a distribution with the fault plugin, as if it were installed."""
    (folder / "fault_plugin.py").write_text(PLUGIN)
    info = folder / "fault_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fault-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gateway]\nfault = fault_plugin\n")
    routes: list[dict[str, Any]] = [
        {
            "path": f"/{fault}/{event}",
            "allow_missing_origin": True,
            "groups": [f"room:{fault}"] if event in {"join", "leave", "change"} else [],
            "handlers": [{"name": "fault", "options": {"fault": fault, "event": event}}],
            "limits": {"send_queue_bytes": 100_000},
        }
        for fault in (CALM, *FAULTS)
        for event in EVENTS
    ]
    limits = {
        "event_timeout_seconds": EVENT_SECONDS,
        "task_grace_seconds": GRACE_SECONDS,
        "breaker": {"failures": 0},
    }
    config = {
        "listen": {"drain_seconds": 0},
        "log": {"level": "info"},
        "routes": [*routes, {"path": "/echo", "handlers": ["echo"], "allow_missing_origin": True}],
        "groups": [{"pattern": "room:*", "presence": True}],
        "plugins": {"fault": {"limits": limits}},
    }
    (folder / "gateway.yaml").write_text(json.dumps(config))  # JSON is YAML


def misbehave(port: int, clients: int, busy: float, fault: str) -> None:
    """Have each event happen again and again for so many seconds, and let everything come to its end."""
    # The witness is to wait for the gateway, and not for these.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 19)

    async def bring_about(event: str, wait: float) -> None:
        await asyncio.sleep(wait)
        url = f"ws://127.0.0.1:{port}/{fault}/{event}"
        with suppress(ConnectionClosed, TimeoutError):
            async with connect(url, proxy=None, compression=None, close_timeout=1) as client:
                if event in {"message", "change"}:
                    await client.send(event)
                if event == "leave":
                    async with connect(url, proxy=None, compression=None) as other:
                        other.transport.abort()
                async with asyncio.timeout(STAY_SECONDS):
                    while True:
                        await client.recv()

    async def all_of_them() -> None:
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() - begun < busy:
                for number in range(clients * len(EVENTS)):
                    wait = number / clients / len(EVENTS) * STAY_SECONDS  # one by one
                    group.create_task(bring_about(EVENTS[number % len(EVENTS)], wait))
                await asyncio.sleep(STAY_SECONDS)

    asyncio.run(all_of_them())


if __name__ == "__main__":
    typer.run(main)
