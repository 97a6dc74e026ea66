"""What the gateway must show on a quiet machine, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.measures import Sample

GATEWAY = "gateway"
BASE = "sanic"
Samples = dict[tuple[str, str], list["Sample"]]


@dataclass(frozen=True)
class Target:
    """A bound on one measure: a ratio to a peer, or to another measure, or an amount.

    Args:
        measure: the measure's name.
        peer: the server to compare with.
        base: the measure to compare with, of the gateway itself; with a peer, how each differs from it is
            compared. Without both, the bound is on the gateway's own figure.
        at_least: the lowest good value, or `None`.
        at_most: the highest good value, or `None`.
    """

    measure: str
    peer: str | None = None
    base: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether the bound is on a ratio, and not on an amount."""
        return self.peer is not None or self.base is not None


@dataclass(frozen=True)
class Verdict:
    """What came of a target: its median, lowest and highest value over the rounds, and whether it was met."""

    target: Target
    middle: float
    lowest: float
    highest: float
    met: bool


TARGETS = (
    Target("echo-1", BASE, at_least=7),
    Target("echo-1", "aiohttp", at_least=1.5),
    Target("echo-1", "socketify", at_least=1.4),
    Target("echo-16", BASE, at_least=60),
    Target("echo-16", "aiohttp", at_least=5),
    Target("echo-16", "socketify", at_least=2.5),
    Target("fan-1", BASE, at_least=2),
    Target("fan-1", "bare", at_least=0.85),
    Target("fan-1", "nchan", at_least=1.2),
    Target("fan-16", BASE, at_least=20),
    Target("fan-16", "socketify", at_least=1),
    Target("fan-16", "nchan", at_least=18),
    Target("handshakes", BASE, at_least=5),
    Target("handshakes", "ws", at_least=1),
    Target("json-deflate", base="json-plain", at_least=0.6),
    # So many times more is done a second with few members than with many: a delivery costs that much less.
    # The second row takes out what more sockets cost in the kernel, which the bare loop pays as well.
    Target("members-100", base="members-10000", at_most=1.1),
    Target("members-100", "bare", base="members-10000", at_most=1.1),
    Target("paced", "socketify", at_most=1),
    Target("memory", at_most=2000),
)

# What is between nodes: brokers.py and gateways.py judge these.
NODE_TARGETS = (
    # Deliveries per second of CPU time of all processes.
    Target("fan-two-workers", base="fan-one-worker", at_least=0.9),
    # Milliseconds from the call of `publish` to the other node's hub, at 1,000 publications a second.
    Target("p99-nats", at_most=5),
    Target("p99-valkey", at_most=5),
)


def ratios(
    samples: Mapping[tuple[str, str], Sequence[Sample]], own: tuple[str, str], base: tuple[str, str]
) -> list[float]:
    """Return the figures of a measure and server divided by those of another, round by round.

    The two samples of a round are neighbours in time, so what disturbs the machine for longer cancels out.
    """
    pairs = zip(samples.get(own, ()), samples.get(base, ()), strict=False)
    return [ours.value / theirs.value for ours, theirs in pairs]


def judge(samples: Mapping[tuple[str, str], Sequence[Sample]], target: Target) -> Verdict | None:
    """Return the verdict on a target; `None` when its servers or its measure were left out of the run."""
    values = [sample.value for sample in samples.get((target.measure, GATEWAY), ())]
    if target.base is not None:
        values = ratios(samples, (target.measure, GATEWAY), (target.base, GATEWAY))
        if target.peer is not None:
            theirs = ratios(samples, (target.measure, target.peer), (target.base, target.peer))
            values = [ours / other for ours, other in zip(values, theirs, strict=False)]
    elif target.peer is not None:
        values = ratios(samples, (target.measure, GATEWAY), (target.measure, target.peer))
    if not values:
        return None
    middle = median(values)
    met = (target.at_least is None or middle >= target.at_least) and (
        target.at_most is None or middle <= target.at_most
    )
    return Verdict(target, middle, min(values), max(values), met)
