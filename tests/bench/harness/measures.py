"""What is measured: each measure by its name, and how one sample of it is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.client import Client
    from harness.servers import Running, Server

IDLE_BASE = 500
IDLE_MORE = 5000
IDLE_TOKEN = "bench-token-of-no-worth"  # of gateway.yaml; who asks for no identity overlooks it


@dataclass(frozen=True)
class Sample:
    """One server's result of one measure in one round.

    Args:
        value: the figure that is compared, in the measure's unit.
        details: all that was reported beside it.
    """

    value: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A kind of work and the figure that it yields.

    Args:
        name: what `--only` calls it.
        title: what the tables call it.
        unit: of the figure.
        better: whether a good figure is high or low.
        take: takes one sample of a server, with a window of so many seconds.
        route: what a server must answer to be measured.
        servers: the only ones that are measured; `None`: all.
        plan: looks at all servers of the round before their samples are taken, and returns further options.
        once: one round is enough, because the figure hardly varies.
        always: whether it is measured without `--full`.
        fresh: whether it needs a server that has done nothing yet.
    """

    name: str
    title: str
    unit: str
    better: Literal["high", "low"]
    take: Callable[..., Sample]
    route: str
    servers: tuple[str, ...] | None = None
    plan: Callable[[Client, list[Running], float], dict[str, Any]] | None = None
    once: bool = False
    always: bool = True
    fresh: bool = False

    def fits(self, server: Server) -> bool:
        """Tell whether a server is measured."""
        return self.route in server.routes and (self.servers is None or server.name in self.servers)

    def sample(self, client: Client, running: Running, seconds: float, planned: dict[str, Any]) -> Sample:
        """Take one sample of a running server.

        Raises:
            BenchError: the server did not do the work; the text names it and gives its last words.
        """
        try:
            return self.take(client, running, seconds, **planned)
        except BenchError as error:
            raise BenchError(f"{running.server.name}: {self.name}: {error}{running.last_words()}") from error


def load(mode: str, **options: object) -> Callable[..., Sample]:
    """Return a `take` that runs the load client: work done per second of the server's CPU."""

    def take(client: Client, running: Running, seconds: float, **more: object) -> Sample:
        running.settle()
        warmup = max(0.3, seconds / 4)
        result = client.run(
            mode, running.port, running.pids, seconds=seconds, warmup=warmup, **options, **more
        )
        return Sample(result["count"] / result["server_cpu_seconds"], result)

    return take


def paced(client: Client, running: Running, seconds: float, rate: float) -> Sample:
    """Return the 99th percentile of the latency at a fixed rate, in microseconds."""
    sample = echo_1(client, running, seconds, rate=rate)
    return Sample(sample.details["p99_us"], sample.details)


def half_of_the_lower_maximum(client: Client, servers: list[Running], seconds: float) -> dict[str, Any]:
    """Choose a rate that every server of the round can follow: half of what the slowest reaches by itself."""
    reached = []
    for running in servers:
        try:
            details = echo_1(client, running, seconds / 2).details
        except BenchError as error:
            raise BenchError(f"{running.server.name}: no rate to pace it at: {error}") from error
        reached.append(details["count"] / details["seconds"])
    return {"rate": round(min(reached) / 2)}


def memory(client: Client, running: Running, _seconds: float) -> Sample:
    """Return the private memory that one more idle connection costs, in bytes.

    The first 500 connections pay for what a server makes once, so only those after them are counted.
    """
    with client.hold(running.port, IDLE_BASE, path="/idle", token=IDLE_TOKEN):
        before = running.memory_bytes()
        with client.hold(running.port, IDLE_MORE, path="/idle", token=IDLE_TOKEN) as more:
            after = running.memory_bytes()
            received = client.publish(more)
    if received != IDLE_MORE:
        raise BenchError(f"{received} of {IDLE_MORE} idle connections got the publication")
    return Sample((after - before) / IDLE_MORE, {"before_bytes": before, "after_bytes": after})


def fan(name: str, title: str, members: int, in_flight: int, **more: Any) -> Measure:
    """Return the measure of a fan-out; options of the load client come as `load`, a dict."""
    route = more.pop("route", "/fan")
    options = more.pop("load", {})
    take = load("fan", path=route, connections=members, in_flight=in_flight, **options)
    return Measure(name, title, "deliveries per CPU second", "high", take, route, **more)


echo_1 = load("echo", path="/echo", connections=100, in_flight=1)
MESSAGES = "messages per CPU second"
JSON = {"size": 1024, "json": True}

# What is compared within a server, or with one other, stands side by side: so it is measured side by side.
MEASURES = (
    Measure("echo-1", "echo, 1 in flight", MESSAGES, "high", echo_1, "/echo"),
    Measure(
        "echo-16",
        "echo, 16 in flight",
        MESSAGES,
        "high",
        load("echo", path="/echo", connections=100, in_flight=16),
        "/echo",
    ),
    fan("fan-1", "fan-out to 1,000, 1 in flight", 1000, 1),
    fan("fan-16", "fan-out to 1,000, 16 in flight", 1000, 16),
    Measure(
        "handshakes",
        "opening handshakes",
        "handshakes per CPU second",
        "high",
        load("handshakes", path="/echo", concurrency=64),
        "/echo",
        servers=("gateway", "sanic", "websockets", "aiohttp", "socketify", "ws"),
    ),
    fan("json-plain", "1 KiB of JSON to 1,000", 1000, 16, servers=("gateway",), load=JSON),
    fan(
        "json-deflate",
        "the same, compressed",
        1000,
        16,
        route="/fan-deflate",
        load={**JSON, "deflate": True},
    ),
    fan("members-100", "fan-out to 100", 100, 1, servers=("gateway", "bare"), always=False),
    fan("members-10000", "fan-out to 10,000", 10_000, 1, servers=("gateway", "bare"), always=False),
    Measure(
        "paced",
        "p99 at half of the lower maximum",
        "microseconds",
        "low",
        paced,
        "/echo",
        servers=("gateway", "socketify"),
        plan=half_of_the_lower_maximum,
        always=False,
    ),
    Measure(
        "memory",
        "idle connection, two groups, identity",
        "bytes per connection",
        "low",
        memory,
        "/idle",
        once=True,
        # What earlier work left free in the heap would be handed out again, and cost nothing.
        fresh=True,
    ),
)
