"""What is measured: each measure by its name, and how one sample of it is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.client import Client
    from harness.servers import Running

IDLE_BASE = 500
IDLE_MORE = 5000


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
        take: takes one sample; the last argument is the length of the window in seconds.
        once: one round is enough, because the figure hardly varies.
    """

    name: str
    title: str
    unit: str
    better: Literal["high", "low"]
    take: Callable[[Client, Running, float], Sample]
    once: bool = False

    def sample(self, client: Client, running: Running, seconds: float) -> Sample:
        """Take one sample of a running server.

        Raises:
            BenchError: the server did not do the work; the text names it and gives its last words.
        """
        try:
            return self.take(client, running, seconds)
        except BenchError as error:
            raise BenchError(f"{running.server.name}: {self.name}: {error}{running.last_words()}") from error


def load(mode: str, **options: object) -> Callable[[Client, Running, float], Sample]:
    """Return a `take` that runs the load client: work done per second of the server's CPU."""

    def take(client: Client, running: Running, seconds: float) -> Sample:
        running.settle()
        result = client.run(
            mode, running.port, running.pids, seconds=seconds, warmup=max(0.3, seconds / 4), **options
        )
        return Sample(result["count"] / result["server_cpu_seconds"], result)

    return take


def memory(client: Client, running: Running, _seconds: float) -> Sample:
    """Return the private memory that one more idle connection costs, in bytes.

    The first 500 connections pay for what a server makes once, so only those after them are counted.
    """
    with client.hold(running.port, "/idle", IDLE_BASE):
        before = running.memory_bytes()
        with client.hold(running.port, "/idle", IDLE_MORE) as more:
            after = running.memory_bytes()
            received = client.publish(more)
    if received != IDLE_MORE:
        raise BenchError(f"{received} of {IDLE_MORE} idle connections got the publication")
    return Sample((after - before) / IDLE_MORE, {"before_bytes": before, "after_bytes": after})


MEASURES = (
    Measure(
        "echo-1",
        "echo, 1 in flight",
        "messages per CPU second",
        "high",
        load("echo", path="/echo", connections=100, in_flight=1),
    ),
    Measure(
        "echo-16",
        "echo, 16 in flight",
        "messages per CPU second",
        "high",
        load("echo", path="/echo", connections=100, in_flight=16),
    ),
    Measure(
        "fan-1",
        "fan-out to 1,000, 1 in flight",
        "deliveries per CPU second",
        "high",
        load("fan", path="/fan", connections=1000, in_flight=1),
    ),
    Measure(
        "fan-16",
        "fan-out to 1,000, 16 in flight",
        "deliveries per CPU second",
        "high",
        load("fan", path="/fan", connections=1000, in_flight=16),
    ),
    Measure(
        "handshakes",
        "opening handshakes",
        "handshakes per CPU second",
        "high",
        load("handshakes", path="/echo", concurrency=64),
    ),
    Measure("memory", "idle connection in two groups", "bytes per connection", "low", memory, once=True),
)
