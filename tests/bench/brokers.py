"""What a broker carries from node to node: `.venv/bin/python tests/bench/brokers.py --help`.

Two processes have a broker each, as two nodes have, and a server is between them. One publishes, the other
has the only member. For each engine, first come as many publications as can be, to a group without history
and to one with; then some that wait for their confirmation, one at a time; then a fixed rate of them, for
which the time from the call of `publish` to the call that hands them to the other node's hub is measured.
A round goes round the engines, and starts each server anew; medians are told, and targets judged.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop
from harness.summary import Summary

sys.path.insert(0, str(Path(__file__).parent.parent / "broker"))

from nats_server import NatsServer
from valkey_server import ValkeyServer

from gateway.broker.contract import HistoryPolicy, Publication
from gateway.broker.nats import NatsBroker
from gateway.broker.valkey import ValkeyBroker
from gateway.config import NatsBrokerConfig, ValkeyBrokerConfig
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from gateway.broker.linked import LinkedBroker

ENGINES = ("nats", "valkey")
PATIENCE_SECONDS = 120.0
WARMING = 2000  # publications before any is measured


def main(
    *,
    engine: Annotated[str, typer.Option(help="`nats` or `valkey`; both unless one is named.")] = "",
    publications: Annotated[int, typer.Option(min=1000, help="Publications at full speed.")] = 50_000,
    confirmed: Annotated[int, typer.Option(min=100, help="Publications that are waited for.")] = 2000,
    size: Annotated[int, typer.Option(min=32, help="Bytes of a message.")] = 64,
    burst: Annotated[int, typer.Option(min=1, help="Publications of one turn of the loop.")] = 16,
    rate: Annotated[int, typer.Option(min=1, help="Publications a second at the fixed rate.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds at the fixed rate.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 when a target is missed.")] = False,
    receive: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure brokers on the loopback address, and print what was found."""
    if receive:
        uvloop.run(_receive(engine, receive))
        return
    kinds = [engine] if engine else ENGINES
    summary = Summary(rounds)
    for _ in range(rounds):
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder)
                server = NatsServer(made, jetstream=True) if kind == "nats" else ValkeyServer(made)
                server.start()
                try:
                    run = _measure(
                        summary, kind, server.url, publications, confirmed, size, burst, rate, seconds
                    )
                    uvloop.run(run)
                finally:
                    server.end()
    for kind in kinds:
        _tell(summary, kind, size, burst, rate)
    if not summary.close() and strict:
        raise typer.Exit(2)


def _tell(summary: Summary, kind: str, size: int, burst: int, rate: int) -> None:
    print(f"{kind}: messages of {size} bytes, {burst} a turn at full speed")
    for group in ("plain", "kept"):
        print(
            f"  {group:<6}{summary.figure(f'{kind} {group}')} a second, "
            f"cpu of the publisher {summary.figure(f'{kind} {group} cpu', '.1f')} and "
            f"of the receiver {summary.figure(f'{kind} {group} far cpu', '.1f')} microseconds each"
        )
    print(f"  kept  {summary.figure(f'{kind} confirmed')} a second, each confirmed before the next")
    for group in ("plain", "kept"):
        print(
            f"  {group:<6}at {rate:,} a second: "
            + ", ".join(
                f"{what} {summary.figure(_name(kind, group, what), '.2f')}"
                for what in ("p50", "p99", "p99.9", "worst")
            )
            + " ms"
        )


def _name(kind: str, group: str, what: str) -> str:
    # The target is on groups without history: what a broker adds to each publication.
    return f"p99-{kind}" if (group, what) == ("plain", "p99") else f"{kind} {group} {what}"


def _history_of(group: str) -> HistoryPolicy | None:
    return HistoryPolicy("kept*", 1000, 300) if group.startswith("kept") else None


def _broker(kind: str, url: str, name: str) -> LinkedBroker:
    given = {"type": kind, "urls": [url], "send_buffer_bytes": 2**28}
    log = make_logger("warning")
    if kind == "valkey":
        return ValkeyBroker(ValkeyBrokerConfig.model_validate(given), name, log, _history_of)
    return NatsBroker(NatsBrokerConfig.model_validate(given), name, log, _history_of)


async def _receive(kind: str, url: str) -> None:
    """Be the node with the member: for each line, count so many publications, and tell when the last came."""
    broker = _broker(kind, url, "receiver")
    expected = counted = 0
    done = asyncio.Event()
    times: list[float] = []

    def deliver(publication: Publication) -> int:
        nonlocal counted
        if publication.key == "timed":
            times.append(time.perf_counter() - float(str(publication.message).split()[0]))
        counted += 1
        if counted == expected:
            done.set()
        return 1

    await broker.start(deliver, lambda _: 0, lambda: print("gap", file=sys.stderr))
    for group in ("plain", "kept"):
        broker.subscribe(group)
    await asyncio.sleep(1)  # the subscriptions are at the server
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        expected, counted = int(line), 0
        done.clear()
        times.clear()
        cpu = time.process_time()
        print("counting", flush=True)
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
        found = {"ended": time.perf_counter(), "cpu": time.process_time() - cpu, "times": times}
        print(json.dumps(found), flush=True)
    await broker.stop()


class _Receiver:
    """The other node."""

    def __init__(self, kind: str, url: str) -> None:
        command = [sys.executable, __file__, "--receive", url, "--engine", kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def line(self) -> str:
        """Wait for what it says."""
        assert self._process.stdout is not None
        return await asyncio.get_running_loop().run_in_executor(None, self._process.stdout.readline)

    async def expect(self, count: int) -> None:
        """Have it count so many publications from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        assert await self.line() == "counting\n"

    async def result(self) -> dict[str, Any]:
        """Wait until all have come."""
        found: dict[str, Any] = json.loads(await self.line())
        return found

    def end(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


async def _measure(
    summary: Summary,
    kind: str,
    url: str,
    count: int,
    confirmed: int,
    size: int,
    burst: int,
    rate: int,
    seconds: float,
) -> None:
    """Take one round of one engine."""
    receiver = _Receiver(kind, url)
    broker = _broker(kind, url, "publisher")
    await broker.start(lambda _: 0, lambda _: 0, lambda: None)
    await receiver.line()
    for group in ("plain", "kept"):
        await _at_full_speed(broker, receiver, group, WARMING, size, burst)
        took, cpu, far_cpu = await _at_full_speed(broker, receiver, group, count, size, burst)
        summary.add(f"{kind} {group}", count / took)
        summary.add(f"{kind} {group} cpu", cpu / count * 1e6)
        summary.add(f"{kind} {group} far cpu", far_cpu / count * 1e6)
    await receiver.expect(confirmed)
    started = time.perf_counter()
    for _ in range(confirmed):
        await broker.store(Publication("kept", "x" * size))
    summary.add(f"{kind} confirmed", confirmed / (time.perf_counter() - started))
    await receiver.result()
    for group in ("plain", "kept"):
        times = await _at_a_rate(broker, receiver, group, size, rate, seconds)
        cuts = quantiles(times, n=1000)
        found = {"p50": cuts[499], "p99": cuts[989], "p99.9": cuts[998], "worst": max(times)}
        for what, value in found.items():
            summary.add(_name(kind, group, what), value * 1000)
    status = broker.status
    lost = status.publications_lost + status.publications_unproved + status.publications_refused
    if lost:
        print(f"{kind}: lost {lost}")
    await broker.stop()
    receiver.end()


async def _at_full_speed(
    broker: LinkedBroker, receiver: _Receiver, group: str, count: int, size: int, burst: int
) -> tuple[float, float, float]:
    """Publish as fast as can be; give the seconds until all have come, and both processes' CPU seconds."""
    await receiver.expect(count)
    message = "x" * size
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        broker.publish(Publication(group, message))
        if number % burst == burst - 1:
            await asyncio.sleep(0)
    found = await receiver.result()
    return found["ended"] - started, time.process_time() - cpu, found["cpu"]


async def _at_a_rate(
    broker: LinkedBroker, receiver: _Receiver, group: str, size: int, rate: int, seconds: float
) -> list[float]:
    count = int(rate * seconds)
    await receiver.expect(count)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(count):
        late = begun + number / rate - loop.time()
        if late > 0:
            await asyncio.sleep(late)
        broker.publish(Publication(group, f"{time.perf_counter()} ".ljust(size), key="timed"))
    times: list[float] = (await receiver.result())["times"]
    return times


if __name__ == "__main__":
    typer.run(main)
