"""What a broker carries from node to node: `.venv/bin/python tests/bench/brokers.py --help`.

Two processes have a broker each, as two nodes have, and a server is between them. One publishes, the other
has the only member. First come as many publications as can be, then a fixed rate of them, for which the time
from the call of `publish` to the call that hands them to the other node's hub is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import typer
import uvloop

from gateway.broker.contract import Publication
from gateway.broker.nats import NatsBroker
from gateway.config import NatsBrokerConfig
from gateway.observe.logs import make_logger

GROUP = "bench"
PATIENCE_SECONDS = 60.0


def main(
    *,
    publications: Annotated[int, typer.Option(min=1000, help="Publications at full speed.")] = 200_000,
    size: Annotated[int, typer.Option(min=32, help="Bytes of a message.")] = 64,
    burst: Annotated[int, typer.Option(min=1, help="Publications of one turn of the loop.")] = 16,
    groups: Annotated[int, typer.Option(min=1, help="Groups that a turn's publications go to.")] = 1,
    rate: Annotated[int, typer.Option(min=1, help="Publications a second at the fixed rate.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds at the fixed rate.")] = 10,
    receive: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure a broker over NATS on the loopback address, and print what was found."""
    if receive:
        uvloop.run(_receive(receive, publications, groups))
        return
    with tempfile.TemporaryDirectory() as folder:
        server, url = _start_server(Path(folder))
        try:
            uvloop.run(_measure(url, publications, size, burst, groups, rate, seconds))
        finally:
            server.terminate()
            server.wait()


def _start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    command = [program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder, "-l", folder / "log"]
    server = subprocess.Popen(command)
    ports = folder / f"nats-server_{server.pid}.ports"
    while not ports.exists():
        time.sleep(0.01)
    return server, str(json.loads(ports.read_text())["nats"][0])


def _broker(url: str, name: str) -> NatsBroker:
    config = NatsBrokerConfig.model_validate({"type": "nats", "urls": [url], "send_buffer_bytes": 2**28})
    return NatsBroker(config, name, make_logger("warning"))


async def _receive(url: str, expected: int, groups: int) -> None:
    """Be the node with the member: count at full speed, then take the times; print both as JSON."""
    broker = _broker(url, "receiver")
    counted = 0
    done = asyncio.Event()
    times: list[float] = []

    def deliver(publication: Publication) -> int:
        nonlocal counted
        if publication.key == "timed":
            times.append(time.perf_counter() - float(str(publication.message).split()[0]))
        else:
            counted += 1
            if counted == expected:
                done.set()
        return 1

    await broker.start(deliver, lambda _: 0, lambda: print("gap", file=sys.stderr))
    for number in range(groups):
        broker.subscribe(f"{GROUP}-{number}")
    await asyncio.sleep(1)  # the subscriptions are at the server
    cpu = time.process_time()
    print("ready", flush=True)
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    print(json.dumps({"ended": time.perf_counter(), "cpu": time.process_time() - cpu}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(json.dumps(times), flush=True)
    await broker.stop()


async def _measure(
    url: str, count: int, size: int, burst: int, groups: int, rate: int, seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    command = [
        sys.executable,
        __file__,
        "--receive",
        url,
        "--publications",
        str(count),
        "--groups",
        str(groups),
    ]
    receiver = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert receiver.stdin is not None
    assert receiver.stdout is not None

    async def line() -> Any:
        return await loop.run_in_executor(None, receiver.stdout.readline)

    broker = _broker(url, "publisher")
    await broker.start(lambda _: 0, lambda _: 0, lambda: None)
    await line()
    message = "x" * size
    names = [f"{GROUP}-{number}" for number in range(groups)]
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        broker.publish(Publication(names[number % groups], message))
        if number % burst == burst - 1:
            await asyncio.sleep(0)
    published = time.perf_counter() - started
    cpu = time.process_time() - cpu
    found = json.loads(await line())
    took = found["ended"] - started
    print(f"{count:,} publications of {size} bytes, {burst} a turn, to {groups} groups in turn")
    print(
        f"  arrived          {count / took:>12,.0f} a second ({published / took:.0%} of the time publishing)"
    )
    print(f"  cpu of publisher {cpu / count * 1e6:>12.1f} microseconds each")
    print(f"  cpu of receiver  {found['cpu'] / count * 1e6:>12.1f} microseconds each")
    print(f"  lost             {broker.status.publications_lost:>12}")
    begun = loop.time()
    for number in range(int(rate * seconds)):
        late = begun + number / rate - loop.time()
        if late > 0:
            await asyncio.sleep(late)
        broker.publish(Publication(names[0], f"{time.perf_counter()} ".ljust(size), key="timed"))
    await asyncio.sleep(1)
    receiver.stdin.write("\n")
    receiver.stdin.flush()
    times = json.loads(await line())
    cuts = quantiles(times, n=1000)
    print(f"{len(times):,} publications at {rate:,} a second")
    for name, value in (("p50", cuts[499]), ("p99", cuts[989]), ("p99.9", cuts[998]), ("worst", max(times))):
        print(f"  {name:<6}{value * 1000:>8.2f} ms")
    await broker.stop()
    receiver.wait()
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    typer.run(main)
