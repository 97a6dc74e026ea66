"""Witnesses of what gateways deliver while their broker fails: everything once and in order, or a word."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nodes import LINKED, until
from running import running
from tcp_proxy import TcpProxy
from witness import Witness

from gateway import BrokerUnavailableError
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

KEPT = ("long", "short")
PLAIN = ("plain",)
CONFIGURATION = """
listen: {{drain_seconds: 0}}
resume: {{key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk}}
broker:
  {{type: {kind}, urls: ["{url}"], prefix: {prefix}, probe_interval_seconds: 0.05,
   probe_timeout_seconds: 0.4, connect_timeout_seconds: 1}}
routes:
  - path: /kept
    handlers: [echo]
    allow_missing_origin: true
    envelope: json
    groups: [long, short, plain]
  - {{path: /raw, handlers: [echo], allow_missing_origin: true, on_gap: close, groups: [plain]}}
groups:
  - {{pattern: long, history: {{size: 5000, seconds: 60}}}}
  - {{pattern: short, history: {{size: 5, seconds: 60}}}}
"""


class Publisher:
    """Publishes numbers to a group through a gateway.

    Args:
        served: The gateway.
        group: The group.
        confirmed: Whether it waits for the broker, and tries each number again until that has it.
    """

    def __init__(self, served: Served, group: str, *, confirmed: bool = False) -> None:
        self.name = secrets.token_hex(3)
        self.group = group
        self.number = 0
        self.times: list[float] = []
        """When it published each number."""
        self._node = served.node
        self.confirmed = confirmed

    async def next(self) -> None:
        """Publish the next number."""
        self.number += 1
        self.times.append(time.monotonic())
        text = f"{self.group} {self.name} {self.number}"
        if not self.confirmed:
            self._node.publish(self.group, text)
            return
        while True:
            try:
                await self._node.publish_confirmed(self.group, text, idempotency_key=text)
            except BrokerUnavailableError:
                await asyncio.sleep(0.01)
            else:
                return

    async def run(self) -> None:
        """Publish, for ever."""
        while True:
            await self.next()
            await asyncio.sleep(0.004)


class Scene:
    """Two gateways with a line each to one server, with publishers and witnesses at both."""

    def __init__(self, server: Any, lines: list[TcpProxy], gateways: list[Served]) -> None:
        self.server = server
        self.lines = lines
        self.gateways = gateways
        self.publishers: list[Publisher] = []
        self.witnesses: list[Witness] = []
        for served in gateways:
            for group in (*KEPT, *PLAIN):
                self.publishers.append(Publisher(served, group))
            self.publishers.append(Publisher(served, "long", confirmed=True))
            self.witnesses.append(Witness(served.url("/kept"), KEPT, PLAIN))
            self.witnesses.append(Witness(served.url("/raw"), (), PLAIN, envelope=False))
        for witness in self.witnesses:
            for publisher in self.publishers:
                witness.ledger.begin(publisher.group, publisher.name)

    def groups(self, witness: Witness) -> tuple[str, ...]:
        """Give the groups of a witness."""
        return (*KEPT, *PLAIN) if "/kept" in witness.url else PLAIN

    async def ready(self) -> None:
        """Wait until all witnesses are connected, and gateways have the broker."""
        for witness in self.witnesses:
            await asyncio.wait_for(witness.connected.wait(), 10)
        await self.linked()

    async def linked(self, *, yes: bool = True) -> None:
        """Wait until the gateways have the broker, or do not."""
        await until(lambda: all(one.node.broker.status.connected is yes for one in self.gateways))

    async def advance(self, numbers: int = 20) -> None:
        """Wait until publishers whose gateway takes their publications have published so many more."""
        some = [publisher for publisher in self.publishers if not publisher.confirmed]
        wanted = [publisher.number + numbers for publisher in some]
        await until(lambda: all(one.number >= number for one, number in zip(some, wanted, strict=True)))

    async def judge(self, late: tuple[str, ...] = ()) -> None:
        """Wait until everything comes again; then see that each witness has had everything, or a word.

        Args:
            late: Groups in which a publication may come once and behind a later one, for all alike.
        """
        await self.ready()
        marks = [(publisher, publisher.number) for publisher in self.publishers]
        await until(
            lambda: all(
                witness.ledger.last(publisher.group, publisher.name) > mark
                for witness in self.witnesses
                for publisher, mark in marks
                if publisher.group in self.groups(witness)
            )
        )
        for witness in self.witnesses:
            excused = [one.fault for one in witness.ledger.late if one.group in late]
            assert [one for one in witness.ledger.faults if one not in excused] == [], witness.url
        for group in late:
            # Who was away may lack some; what two have, both have in the engine's order.
            first, second = (self.late(one, group) for one in self.witnesses if "/kept" in one.url)
            assert [one for one in first if one in second] == [one for one in second if one in first]
        # A word goes another way than publications, and may come after them.
        with suppress(TimeoutError):
            await until(lambda: not self.unexplained(), 3)
        assert self.unexplained() == []

    def late(self, witness: Witness, group: str) -> list[tuple[str, int]]:
        """Give what came late to a witness, in its order."""
        return [(one.publisher, one.number) for one in witness.ledger.late if one.group == group]

    def unexplained(self) -> list[str]:
        """Give what witnesses have neither got nor been told of."""
        times = {publisher.name: publisher.times for publisher in self.publishers}
        return [
            f"{urlsplit(witness.url).path} {one}"
            for witness in self.witnesses
            for one in witness.ledger.unexplained(lambda _, name, number: times[name][number - 1])
        ]


@pytest.fixture(params=LINKED)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return request.param


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Any:
    """A server of the test's own, whose data survive it."""
    if kind == "nats":
        return request.getfixturevalue("nats_server")(jetstream=True)
    return request.getfixturevalue("valkey_server")("appendonly yes", "appendfsync always")


@pytest.fixture
async def stage(tmp_path: Path, kind: str, server: Any) -> AsyncIterator[Callable[[], Awaitable[Scene]]]:
    """A function that has everybody begin; they end with the test."""
    async with AsyncExitStack() as stack:
        prefix = f"test-{secrets.token_hex(4)}"

        async def stage() -> Scene:
            lines, gateways = [], []
            for number in range(2):
                folder = tmp_path / f"gateway-{number}"
                folder.mkdir()
                lines.append(await stack.enter_async_context(TcpProxy(server.port)))
                url = f"{urlsplit(server.url).scheme}://127.0.0.1:{lines[-1].port}"
                text = CONFIGURATION.format(kind=kind, url=url, prefix=prefix)
                gateways.append(await stack.enter_async_context(serve(folder, text)))
            scene = Scene(server, lines, gateways)
            for one in scene.witnesses:
                await stack.enter_async_context(running(one))
            for witness in scene.witnesses:
                await asyncio.wait_for(witness.connected.wait(), 10)
            for publisher in scene.publishers:
                await stack.enter_async_context(running(publisher))
            return scene

        yield stage


async def test_killed_and_back(stage: Callable[[], Awaitable[Scene]], server: Any) -> None:
    """A broker that is killed and comes back, twice."""
    scene = await stage()
    await scene.ready()
    for _ in range(2):
        await scene.advance()
        await asyncio.to_thread(server.kill)
        await scene.linked(yes=False)
        await scene.advance()
        await asyncio.to_thread(server.start)
        await scene.linked()
    await scene.judge()


async def test_refused_at_first(stage: Callable[[], Awaitable[Scene]], server: Any) -> None:
    """Gateways that start without their broker."""
    await asyncio.to_thread(server.kill)
    scene = await stage()
    await scene.advance()
    await asyncio.to_thread(server.start)
    await scene.judge()


async def test_held(stage: Callable[[], Awaitable[Scene]], server: Any) -> None:
    """A broker that is stopped with its TCP alive, first so shortly that nobody minds."""
    scene = await stage()
    await scene.ready()
    server.hold()
    await scene.advance(10)
    server.release()
    await scene.advance()
    server.hold()
    await scene.linked(yes=False)
    await scene.advance()
    server.release()
    await scene.linked()
    await scene.judge()


async def test_slow(stage: Callable[[], Awaitable[Scene]], kind: str) -> None:
    """A broker that is slow: in time for a probe, then not."""
    scene = await stage()
    await scene.ready()
    for line in scene.lines:
        line.delay_seconds = 0.05
    await scene.advance()
    former = scene.lines[1].passing()
    scene.lines[1].delay_seconds = 1
    await until(lambda: not scene.gateways[1].node.broker.status.connected)
    for line in scene.lines:
        line.delay_seconds = 0
    await until(lambda: all(passing.done() for passing in former))
    await scene.advance(50)
    # What the line still holds of a link that has ended comes behind what the next one brings. Valkey has
    # ended that link itself by then; JetStream keeps it where it comes.
    await scene.judge(late=KEPT if kind == "nats" else ())


@pytest.mark.parametrize("cut", ["swallow", "break_off"])
async def test_cut_apart_and_joined(stage: Callable[[], Awaitable[Scene]], cut: str) -> None:
    """One gateway loses its line, which ends or falls silent; then the other one too."""
    scene = await stage()
    await scene.ready()
    for line, served in zip(scene.lines, scene.gateways, strict=True):
        await scene.advance(10)
        line.swallow()
        if cut == "break_off":
            line.break_off()
        await until(lambda served=served: not served.node.broker.status.connected)
        await scene.advance(10)
        line.mend()
    await scene.judge()
