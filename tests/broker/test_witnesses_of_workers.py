"""Witnesses of what the workers of a gateway deliver while some die or hang: everything once, or a word."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from nodes import until
from publisher import RemotePublisher
from real_gateway import RealGateway
from running import running
from witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = """
plugins: {{live: {{enabled: false}}}}
listen: {{workers: 2, drain_seconds: 0, worker_hang_seconds: 0.5, port: PORT}}
broker: {broker}
resume: {{key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk}}
routes:
  - {{path: /kept, handlers: [silent], allow_missing_origin: true, envelope: json, groups: [kept, plain]}}
  - {{path: /raw, handlers: [silent], allow_missing_origin: true, on_gap: close, groups: [plain]}}
  - {{path: /press, handlers: [press], allow_missing_origin: true}}
groups:
  - {{pattern: kept, history: {{size: 5000, seconds: 60}}}}
"""
GROUPS = {"/kept": ("kept", "plain"), "/raw": ("plain",)}


@pytest.fixture(params=["embedded", "valkey"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealGateway]:
    """A gateway with two workers that serves."""
    broker = "{type: memory}"
    if request.param == "valkey":
        server: Any = request.getfixturevalue("valkey_server")()
        broker = f'{{type: valkey, urls: ["{server.url}"]}}'
    folder = tmp_path / "gateway"
    folder.mkdir()
    made = RealGateway(folder, CONFIGURATION.format(broker=broker))
    made.launch()
    try:
        made.wait()
        yield made
    finally:
        made.end()


async def test_one_is_killed_and_the_other_hangs(gateway: RealGateway) -> None:
    """Each is replaced, and whoever was on the other one loses nothing, and need not be told of anything."""
    async with AsyncExitStack() as stack:
        witnesses = [Witness(gateway.url("/kept"), ["kept"], ["plain"]) for _ in range(6)]
        witnesses += [Witness(gateway.url("/raw"), [], ["plain"], envelope=False) for _ in range(6)]
        for witness in witnesses:
            await stack.enter_async_context(running(witness))
        for witness in witnesses:
            await asyncio.wait_for(witness.connected.wait(), 10)
        publishers = [
            RemotePublisher(gateway.url("/press"), group, lambda: 0.01)
            for group in ("kept", "plain")
            for _ in range(3)
        ]
        for publisher in publishers:
            await stack.enter_async_context(running(publisher))

        async def all_come() -> None:
            marks = [(one, one.name, one.number) for one in publishers]
            await until(
                lambda: all(
                    witness.ledger.last(one.group, one.name) > (mark if one.name == name else 0)
                    for witness in witnesses
                    for one, name, mark in marks
                    if one.group in GROUPS[_path(witness)]
                )
            )

        await all_come()
        for slot, number in ((0, signal.SIGKILL), (1, signal.SIGSTOP)):
            stayed = [witness.connections for witness in witnesses]
            words = [witness.ledger.words for witness in witnesses]
            former = gateway.workers[slot]
            os.kill(former, number)
            await until(lambda slot=slot, former=former: gateway.workers[slot] != former)
            await all_come()
            for witness, connections, told in zip(witnesses, stayed, words, strict=True):
                assert witness.connections > connections or witness.ledger.words == told
            assert [one.connections for one in witnesses] != stayed
    times = {name: some for one in publishers for name, some in one.times.items()}
    for witness in witnesses:
        assert witness.ledger.faults == []
        assert witness.ledger.unexplained(lambda _, name, number: times[name][number - 1]) == []
        assert witness.not_recovered == 0, witness.url


def _path(witness: Witness) -> str:
    return "/" + witness.url.rpartition("/")[2]
