from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from nodes import until

from gateway.broker.contract import BrokerStatus
from gateway.broker.misses import Misses
from gateway.broker.wire import Notice
from gateway.config import NatsBrokerConfig
from gateway.observe.logs import make_logger


class Rig:
    """What a node has missed, and how often it was told."""

    def __init__(self) -> None:
        settings = {"type": "nats", "probe_interval_seconds": 0.02, "probe_timeout_seconds": 0.02}
        self.config = NatsBrokerConfig.model_validate(settings)
        self.status = BrokerStatus(connected=True)
        self.gaps = 0
        self._stream = io.StringIO()
        self.misses = Misses(self.config, self.status, self._gap, make_logger("info", "json", self._stream))
        self.misses.begin_link()

    def _gap(self) -> None:
        self.gaps += 1

    def hear(self, number: int, previous: int, *, node: str = "a", link: int = 1, note: Any = True) -> None:
        """Hear another node."""
        self.misses.hear(Notice(node, link, previous, number, note))

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    async def gathered(self) -> None:
        """Wait until nothing is gathered any more."""
        await until(lambda: self.misses._timer is None)


@pytest.fixture
async def rig() -> Rig:
    """A node that has heard two others."""
    rig = Rig()
    for node in "ab":
        rig.hear(1, 0, node=node)
    return rig


async def test_nodes_that_are_heard_again_are_one_gap(rig: Rig) -> None:
    """It is told once for all of them, since the one that was heard first the longest ago."""
    heard_at = asyncio.get_running_loop().time()
    rig.hear(9, 8, node="a")
    rig.hear(5, 4, node="b")
    assert rig.gaps == 0
    await rig.gathered()
    assert rig.gaps == 1
    assert rig.status.blind_since <= heard_at
    assert [(line["event"], line["nodes"]) for line in rig.log] == [("broker_nodes_missed", 2)]


async def test_without_a_link_it_waits_for_one(rig: Rig) -> None:
    """Who mends what is missing needs it."""
    rig.status.connected = False
    rig.hear(9, 8)
    first = rig.misses._timer
    await until(lambda: rig.misses._timer is not first)
    assert rig.gaps == 0
    rig.status.connected = True
    await rig.gathered()
    assert rig.gaps == 1


async def test_what_came_late_is_told_unless_its_node_does(rig: Rig) -> None:
    """The node's word may come after it."""
    rig.hear(2, 1, link=2)
    assert rig.misses.is_late("a", 1)
    rig.hear(3, 2, link=2, note=None)
    await rig.gathered()
    assert rig.gaps == 0
    rig.hear(4, 3, link=3)
    assert not rig.misses.is_late("a", 3)
    assert rig.misses.is_late("a", 1)
    assert rig.misses._timer is None
    assert rig.misses.is_late("a", 2)
    assert rig.misses.is_late("a", 2)
    await rig.gathered()
    assert rig.gaps == 1


async def test_nothing_is_told_after_the_end(rig: Rig) -> None:
    """No timer stays."""
    rig.hear(9, 8)
    rig.misses.close()
    assert rig.misses._timer is None
