"""The figures of the machine and of the gateway, sampled once for the whole process."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import psutil

from gateway_live import messages

if TYPE_CHECKING:
    from gateway import Node, Timer
    from gateway_live.messages import Sample

__all__ = ["Feed", "Figures", "Sampler"]

ON_DEMAND_SECONDS: Final = 1.0
"""Without a route that samples, polls take a sample themselves, at most so often."""

SHORTEST_SECONDS: Final = 0.1
"""Rates are reckoned over no less, or a message right after the start would look like a thousand a second."""


class Sampler:
    """What turns running counts into samples.

    Each sample says what happened since the one before, so there should be one sampler a process:
    psutil keeps the processors' last times for the whole process, too. Reading takes about 0.1 ms.

    Args:
        node: Whose connections and messages are counted.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._number = 0
        self._mark()
        psutil.cpu_percent(interval=None)  # The first call only sets psutil's own mark, and gives 0.

    def sample(self) -> Sample:
        """Take one sample."""
        then, messages_in, messages_out = self._then, self._messages_in, self._messages_out
        self._mark()
        seconds = max(self._then - then, SHORTEST_SECONDS)
        memory = psutil.virtual_memory()
        self._number += 1
        return {
            "number": self._number,
            "time": round(self._node.now(), 3),
            "cpu_percent": psutil.cpu_percent(interval=None),
            "memory_percent": memory.percent,
            # As psutil reckons the percentage: what new programs could not have.
            "memory_bytes": memory.total - memory.available,
            "connections": self._node.metrics.connections,
            "messages_in_per_second": round((self._messages_in - messages_in) / seconds, 1),
            "messages_out_per_second": round((self._messages_out - messages_out) / seconds, 1),
        }

    def _mark(self) -> None:
        self._then = time.monotonic()
        self._messages_in = self._node.metrics.messages_in
        self._messages_out = self._node.metrics.messages_out


@dataclass(frozen=True, slots=True)
class Feed:
    """What one handler wants of the figures.

    Args:
        group: The group that each new sample is published to.
        interval_seconds: The longest time from one sample to the next.
        history_samples: How many samples to keep at least.
    """

    group: str
    interval_seconds: float
    history_samples: int


class Figures:
    """The samples of one node: the recent ones, and each new one published to the groups that want it.

    Args:
        node: Whose figures they are.
    """

    # A handler and a blueprint of one node have nothing in common but the node, and must share its samples.
    # The hook `gateway_stop` takes an entry away.
    _of_nodes: ClassVar[dict[Node, Figures]] = {}

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sampler = Sampler(node)
        self._samples: deque[Sample] = deque(maxlen=1)
        self._newest_at = float("-inf")
        self._feeds: list[Feed] = []
        self._timer: Timer | None = None

    @classmethod
    def of(cls, node: Node) -> Figures:
        """Give the figures of a node: the same object each time, until `forget`."""
        figures = cls._of_nodes.get(node)
        if figures is None:
            figures = cls._of_nodes[node] = cls(node)
        return figures

    @classmethod
    def forget(cls, node: Node) -> None:
        """Let go of a node's figures."""
        cls._of_nodes.pop(node, None)

    @property
    def interval_seconds(self) -> float | None:
        """Time from one sample to the next: the shortest that any feed asks for; `None` without feeds."""
        return min((feed.interval_seconds for feed in self._feeds), default=None)

    def newest(self) -> Sample:
        """Give the newest sample; take one if there is none, or if nothing samples and it is a second old."""
        stale = self._timer is None and time.monotonic() - self._newest_at >= ON_DEMAND_SECONDS
        return self._take() if stale or not self._samples else self._samples[-1]

    def recent(self, count: int) -> list[Sample]:
        """Give the last samples, at most `count` of them, oldest first."""
        samples = list(self._samples)
        return samples[len(samples) - min(count, len(samples)) :]

    def add_feed(self, feed: Feed) -> None:
        """Begin to feed a group, and sample as often as it asks for."""
        self._feeds.append(feed)
        self._renew()

    def remove_feed(self, feed: Feed) -> None:
        """Feed a group no longer."""
        self._feeds.remove(feed)
        self._renew()

    def _renew(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        kept = max((feed.history_samples for feed in self._feeds), default=1)
        self._samples = deque(self._samples, maxlen=max(1, kept))
        if self.interval_seconds is not None:
            self._timer = self._node.every(self.interval_seconds, self._publish)

    def _publish(self) -> None:
        message = messages.figures(self._take())
        for group in {feed.group for feed in self._feeds}:
            self._node.publish(group, message)

    def _take(self) -> Sample:
        sample = self._sampler.sample()
        self._samples.append(sample)
        self._newest_at = time.monotonic()
        return sample
