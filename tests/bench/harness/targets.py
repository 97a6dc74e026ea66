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
    """A bound on one measure: a ratio to a peer, or an amount.

    Args:
        measure: the measure's name.
        peer: the server to compare with; `None` for a bound on the gateway's own figure.
        at_least: the lowest good value, or `None`.
        at_most: the highest good value, or `None`.
    """

    measure: str
    peer: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What came of a target: its median, lowest and highest value over the rounds, and whether it was met."""

    target: Target
    middle: float
    lowest: float
    highest: float
    met: bool


TARGETS = (
    Target("echo-1", BASE, at_least=6),
    Target("echo-16", BASE, at_least=40),
    Target("fan-1", BASE, at_least=2),
    Target("fan-16", BASE, at_least=20),
    Target("handshakes", BASE, at_least=3),
    Target("memory", at_most=3000),
)


def ratios(
    samples: Mapping[tuple[str, str], Sequence[Sample]], measure: str, server: str, peer: str
) -> list[float]:
    """Return a server's figures divided by a peer's, round by round.

    The two samples of a round are neighbours in time, so what disturbs the machine for longer cancels out.
    """
    own, others = samples.get((measure, server), ()), samples.get((measure, peer), ())
    return [a.value / b.value for a, b in zip(own, others, strict=False)]


def judge(samples: Mapping[tuple[str, str], Sequence[Sample]], target: Target) -> Verdict | None:
    """Return the verdict on a target; `None` when its servers or its measure were left out of the run."""
    if target.peer is None:
        values = [sample.value for sample in samples.get((target.measure, GATEWAY), ())]
    else:
        values = ratios(samples, target.measure, GATEWAY, target.peer)
    if not values:
        return None
    middle = median(values)
    met = (target.at_least is None or middle >= target.at_least) and (
        target.at_most is None or middle <= target.at_most
    )
    return Verdict(target, middle, min(values), max(values), met)
