"""Slow opening handshakes beside a witness: `.venv/bin/python tests/bench/slow_handshakes.py --help`.

A witness echoes at a fixed rate on a connection of its own, before, during and after many clients send
their opening handshakes byte by byte. All of these have to be cut at the deadline, and the witness should
hardly notice: its 99th percentile stays within twice what it was before.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import trustme
import typer
from harness import machine
from harness.servers import Server, started
from harness.witness import OPENING, PATIENCE_SECONDS, Aside, watch
from rich.console import Console

ROUTE = {"path": "/echo", "handlers": ["echo"], "allow_missing_origin": True}
LIMIT = 2.0


def main(
    *,
    clients: Annotated[int, typer.Option(min=1, help="Slow clients.")] = 2000,
    deadline: Annotated[float, typer.Option(min=1, help="opening_timeout_seconds of the gateway.")] = 10,
    rate: Annotated[int, typer.Option(min=1, help="Messages a second of the witness.")] = 500,
    over: Annotated[float, typer.Option(min=0, help="Seconds over which the slow clients connect.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often it is done.")] = 3,
    tls: Annotated[
        bool, typer.Option("--tls", help="Over TLS, whose handshake the slow clients do not finish.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 2 above twice the p99, or if one is not cut.")
    ] = False,
) -> None:
    """Cut slow opening handshakes beside a witness, and print what both saw."""
    machine.raise_file_limit()
    server_core, client_core = machine.cores()
    seconds = over + deadline + 2
    out = Console(highlight=False, width=160)
    ratios, missing = [], 0
    with tempfile.TemporaryDirectory() as folder:
        authority = write_files(Path(folder), deadline, tls=tls)
        command = (sys.executable, "-m", "gateway", "run", "-c", f"{folder}/gateway.yaml", "--port", "{port}")
        with started(Server("gateway", command), server_core) as running, machine.pinned(client_core):
            witness = Aside(watch, running.port, rate, authority)
            slow = Aside(crawl, running.port, clients, over, tls)
            witness.ask(1.0)  # warms up
            witness.answer()
            memory = running.memory_bytes()
            for _ in range(rounds):
                witness.ask(seconds)
                before = witness.answer()
                witness.ask(seconds)
                slow.ask()
                time.sleep((over + deadline) / 2)
                grown = (machine.private_bytes(running.pids) - memory) / clients / 1024
                during, cuts = witness.answer(), slow.answer()
                ratios.append(during.p99 / before.p99)
                missing += clients - cuts.cut
                out.print(f"witness before: {before}")
                out.print(f"witness during: {during}; p99 {ratios[-1]:.2f} times that before")
                out.print(f"slow clients:   {cuts}; {grown:.1f} KiB each while they wait")
    out.print(f"median of the ratios: {median(ratios):.2f}, limit {LIMIT:.0f}")
    if strict and (median(ratios) > LIMIT or missing):
        raise typer.Exit(2)


def write_files(folder: Path, deadline: float, *, tls: bool) -> Path | None:
    """Write gateway.yaml, and a certificate if it is to speak TLS; return the authority's file then."""
    listen: dict[str, Any] = {"opening_timeout_seconds": deadline, "drain_seconds": 0}
    authority = None
    if tls:
        certifier = trustme.CA()
        issued = certifier.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
        listen["tls"] = dict.fromkeys(("certificate", "key"), str(folder / "both.pem"))
        authority = folder / "authority.pem"
        certifier.cert_pem.write_to_path(str(authority))
    config = {"listen": listen, "log": {"level": "info"}, "routes": [ROUTE]}
    (folder / "gateway.yaml").write_text(json.dumps(config))  # JSON is YAML
    return authority


@dataclass(frozen=True)
class Cuts:
    """What became of the slow clients; times in seconds since each had connected."""

    cut: int
    told: int
    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.cut} cut after {self.first:.2f} to {self.last:.2f} s, {self.told} of them told 408"


def crawl(port: int, clients: int, over: float, tls: bool) -> Cuts:
    """Connect slow clients, and send a byte a second from each until it is cut."""
    os.nice(10)  # the witness is to wait for the gateway, and not for these
    data = (
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + b"x" * 1000
        if tls
        else OPENING + b"X-Slow: " + b"x" * 1000
    )

    async def one(number: int) -> tuple[float, bool]:
        await asyncio.sleep(number / clients * over)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.monotonic()
        writer.write(data[:20])
        answer = b""
        pause = random.random()  # each drips at a time of its own
        for position in range(20, len(data)):
            try:
                async with asyncio.timeout(pause):
                    answer = await reader.read(65536)
                break
            except TimeoutError:
                pause = 1.0
                writer.write(data[position : position + 1])
            except ConnectionError:
                break
        took = time.monotonic() - begun
        writer.transport.abort()
        return took, answer.startswith(b"HTTP/1.1 408 ")

    async def all_of_them() -> list[tuple[float, bool]]:
        return await asyncio.gather(*(one(number) for number in range(clients)))

    ends = asyncio.run(all_of_them())
    took = [end for end, _ in ends if end < PATIENCE_SECONDS]
    return Cuts(len(took), sum(told for _, told in ends), min(took), max(took))


if __name__ == "__main__":
    typer.run(main)
