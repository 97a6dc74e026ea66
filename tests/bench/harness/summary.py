"""What brokers.py and gateways.py tell in the end: medians with their spread, and verdicts on targets."""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING

from harness.machine import disturbance
from harness.measures import Sample
from harness.targets import GATEWAY, NODE_TARGETS, judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.targets import Samples


class Summary:
    """The figures of some rounds, by name.

    Args:
        rounds: How many rounds there will be.
    """

    def __init__(self, rounds: int) -> None:
        self.samples: Samples = {}
        self._rounds = rounds
        self._load = os.getloadavg()[0]

    def add(self, name: str, value: float) -> None:
        """Take the figure of a round."""
        self.samples.setdefault((name, GATEWAY), []).append(Sample(value))

    def figure(self, name: str, digits: str = ",.0f") -> str:
        """Give the median of a figure, and its spread in brackets if there were several rounds."""
        return spread((one.value for one in self.samples[name, GATEWAY]), digits)

    def close(self) -> bool:
        """Print verdicts on the targets that the figures judge, and the machine; give whether all are met."""
        met = True
        for target in NODE_TARGETS:
            verdict = judge(self.samples, target)
            if verdict is None:
                continue
            met = met and verdict.met
            sign, bound = (">=", target.at_least) if target.at_least is not None else ("<=", target.at_most)
            unit = f" x {target.base}" if target.base is not None else " ms"
            print(
                f"target {target.measure} {sign} {bound:g}{unit}: {verdict.middle:.2f} "
                f"({verdict.lowest:.2f} .. {verdict.highest:.2f}), {'met' if verdict.met else 'missed'}"
            )
        print(f"{self._rounds} rounds on {os.cpu_count()} cores{disturbance(self._load)}")
        return met


def spread(values: Iterable[float], digits: str = ",.0f") -> str:
    """Give a median, and the lowest and highest value in brackets."""
    several = sorted(values)
    middle = f"{median(several):{digits}}"
    return middle if len(several) == 1 else f"{middle} ({several[0]:{digits}} .. {several[-1]:{digits}})"
