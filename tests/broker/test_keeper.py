"""Tests of what keeps a link. The suites of the contract have real engines, here the link is scripted."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from nodes import until

from gateway.broker import keeper
from gateway.broker.contract import BrokerUnavailableError, Publication
from gateway.broker.link import LinkError
from gateway.broker.linked import LinkedBroker
from gateway.config import NatsBrokerConfig
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.broker.link import Receive


async def turns() -> None:
    """Let the loop turn often enough for whatever is due."""
    for _ in range(20):
        await asyncio.sleep(0)


class Engine:
    """An engine of the test's own: what its links do is written down here."""

    def __init__(self) -> None:
        self.links: list[EngineLink] = []
        self.refusing: set[str] = set()
        self.mute = False
        self.stuck = asyncio.Event()
        self.stuck.set()
        self.room = asyncio.Event()
        self.room.set()
        self.most_bytes = 1_000_000

    def link(self, url: str, receive: Receive) -> EngineLink:
        """Make a link."""
        self.links.append(EngineLink(self, url, receive))
        return self.links[-1]

    @property
    def tried(self) -> Counter[str]:
        """How often each URL was tried."""
        return Counter(link.url for link in self.links)


class EngineLink:
    """A link to it."""

    def __init__(self, engine: Engine, url: str, receive: Receive) -> None:
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.most_bytes = engine.most_bytes
        self.url = url
        self.channels: list[str] = []
        self.sent: list[tuple[str, bytes]] = []
        self.aborted = self.closed = False
        self._engine = engine
        self._receive = receive

    async def open(self) -> None:
        """Connect, if the engine wants."""
        await self._engine.stuck.wait()
        if self.url in self._engine.refusing:
            raise ConnectionRefusedError("nobody there")

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Note it."""
        self.channels += channels

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Note it."""
        self.channels = [channel for channel in self.channels if channel not in channels]

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Note it, and send it back to whoever asked for it."""
        self.sent += messages
        if not self._engine.mute:
            for channel, data in messages:
                if channel in self.channels:
                    asyncio.get_running_loop().call_soon(self._receive, channel, data)
        await self._engine.room.wait()

    async def claim(self, key: str, seconds: float) -> bool:
        """Fail as libraries do."""
        if key == "slow":
            await asyncio.Event().wait()
        raise KeyError(key)

    async def close(self) -> None:
        """Note it, and tell of the end in between, as a socket may."""
        self.closed = True
        self.ended.set_result(LinkError("closed"))
        await turns()

    def abort(self) -> None:
        """Note it."""
        self.aborted = True


class Rig:
    """A broker over such an engine."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.gaps = 0
        self.stream = io.StringIO()
        self.broker: LinkedBroker

    def make(self, **settings: Any) -> LinkedBroker:
        """Make the broker."""
        settings = {"type": "nats", "probe_interval_seconds": 0.01, "probe_timeout_seconds": 5, **settings}
        config = NatsBrokerConfig.model_validate(settings)
        log = make_logger("debug", "json", self.stream)
        self.broker = LinkedBroker(config, "one", log, self.engine.link)
        return self.broker

    async def start(self, **settings: Any) -> LinkedBroker:
        """Make it and start it."""
        broker = self.make(**settings)
        await broker.start(lambda _: 1, lambda _: 1, self._gap)
        return broker

    def _gap(self) -> None:
        self.gaps += 1

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A broker over an engine of the test's own, in a hurry."""
    monkeypatch.setattr(keeper, "_LONGEST_DELAY_SECONDS", 0.01)
    rig = Rig()
    yield rig
    await rig.broker.stop()


async def test_delays_grow_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a tenth of a second to two seconds, never the same for all nodes, and never none."""
    for failures, longest in ((0, 0.1), (1, 0.2), (3, 0.8), (5, 2.0), (1000, 2.0)):
        delays = [keeper._delay(failures) for _ in range(200)]
        assert longest * 0.3 <= min(delays) < longest * 0.5 < longest * 0.8 < max(delays) <= longest


async def test_a_start_tries_every_server_once(rig: Rig) -> None:
    """Then the node goes on without a broker, and is not up."""
    rig.engine.refusing = {"nats://a", "nats://b"}
    broker = await rig.start(urls=["nats://a", "nats://b"])
    assert rig.engine.tried == {"nats://a": 1, "nats://b": 1}
    assert not broker.status.connected
    assert broker.status.is_down(asyncio.get_running_loop().time())
    # Both failed alike, which is one line.
    lines = [line for line in rig.log if line["event"] == "broker_unreachable"]
    assert [line["why"] for line in lines] == ["ConnectionRefusedError: nobody there"]


async def test_it_is_tried_for_ever(rig: Rig) -> None:
    """However often it failed, the broker is found when it is there, which counts as a gap."""
    rig.engine.refusing = {"nats://a"}
    broker = await rig.start(urls=["nats://a"])
    broker.subscribe("news")
    await until(lambda: len(rig.engine.links) > 20)
    assert all(link.aborted for link in rig.engine.links[:20])
    rig.engine.refusing = set()
    await until(lambda: broker.status.connected)
    assert rig.gaps == 1
    assert broker.status.reconnects == 0
    assert broker._channels.of_group("news") in rig.engine.links[-1].channels


async def test_another_server_takes_over(rig: Rig) -> None:
    """Of several servers one that answers is used; it is no gap if that is at the start."""
    rig.engine.refusing = {"nats://a", "nats://b"}
    broker = await rig.start(urls=["nats://a", "nats://b", "nats://c"])
    assert broker.status.connected
    assert rig.engine.links[-1].url == "nats://c"
    assert rig.gaps == 0
    rig.engine.refusing = {"nats://c", "nats://a"}
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 1)
    assert rig.engine.links[-1].url == "nats://b"
    assert broker.status.reconnects == 1


async def test_a_required_broker_that_is_not_there_fails_the_start(rig: Rig) -> None:
    """The error says why, and nothing goes on in the background."""
    rig.engine.refusing = {"nats://a"}
    with pytest.raises(BrokerUnavailableError, match="nobody there"):
        await rig.start(urls=["nats://a"], required=True)
    tried = len(rig.engine.links)
    assert all(link.aborted for link in rig.engine.links)
    await asyncio.sleep(0)
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"broker"})
    assert len(rig.engine.links) == tried


async def test_a_server_that_does_not_answer_costs_the_connect_timeout(rig: Rig) -> None:
    """A connection that is never made is given up."""
    rig.engine.stuck.clear()
    await rig.start(urls=["nats://a"], connect_timeout_seconds=0.01)
    assert [line["why"] for line in rig.log] == ["no connection in time"]
    assert rig.engine.links[0].aborted


async def test_a_link_that_carries_nothing_is_given_up(rig: Rig) -> None:
    """TCP may be alive: a probe that does not come back ends the link, and the status told so before."""
    broker = await rig.start(probe_timeout_seconds=0.05)
    first = rig.engine.links[0]
    proved_at = broker.status.proved_at
    rig.engine.mute = True
    loop = asyncio.get_running_loop()
    await until(lambda: broker.status.is_down(loop.time()))
    assert loop.time() - broker.status.proved_at > 0.02
    assert broker.status.connected
    await until(lambda: not broker.status.connected)
    assert first.aborted
    assert broker.status.proved_at >= proved_at
    lost = [line["why"] for line in rig.log if line["event"] == "broker_disconnected"]
    assert lost == ["no answer to a probe in 0.05 seconds"]
    await until(lambda: len(rig.engine.links) > 2)
    assert not broker.status.connected  # an open link is not enough
    rig.engine.mute = False
    await until(lambda: broker.status.connected)
    assert not broker.status.is_down(loop.time())


async def test_an_old_answer_proves_nothing(rig: Rig) -> None:
    """Only the answer to the last probe counts."""
    broker = await rig.start(probe_timeout_seconds=0.05)
    link = rig.engine.links[0]
    old = link.sent[0]
    rig.engine.mute = True
    await until(lambda: len(link.sent) > 1 and link.sent[-1] != old)
    proved_at = broker.status.proved_at
    broker._receive(*old)
    await until(lambda: not broker.status.connected)
    assert broker.status.proved_at == proved_at


async def test_a_link_that_ends_soon_again_and_again_is_not_made_in_a_loop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is good only for a moment counts as a failure: delays grow. A lasting one begins anew."""
    asked: list[int] = []
    monkeypatch.setattr(keeper, "_delay", lambda failures: asked.append(failures) or 0.0)
    await rig.start(urls=["nats://a"])
    for number in range(4):
        await until(lambda number=number: rig.gaps == number)
        rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 4)
    assert asked == [1, 2, 3, 4]
    monkeypatch.setattr(keeper, "_SETTLED_SECONDS", 0.0)
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 5)
    assert asked == [1, 2, 3, 4, 0]


@pytest.mark.parametrize("error", [RuntimeError("a library's"), asyncio.CancelledError()])
async def test_whatever_a_library_raises_ends_the_link_and_not_the_broker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """An error that nobody thought of, and a cancellation that nobody asked for."""
    broker = await rig.start()

    async def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(rig.engine.links[0], "send", fail)
    broker.publish(Publication("news", "x"))
    await until(lambda: rig.gaps == 1)
    assert broker.status.reconnects == 1
    assert broker.status.publications_unproved == 1


async def test_a_library_that_swallows_a_cancellation_does_not_hold_the_stop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nats-py takes some cancellations for its own."""
    broker = await rig.start()
    sending, swallowed = asyncio.Event(), asyncio.Event()

    async def stubborn(_: object) -> None:
        sending.set()
        while not swallowed.is_set():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.set()

    monkeypatch.setattr(rig.engine.links[0], "send", stubborn)
    broker.publish(Publication("news", "x"))
    await sending.wait()
    async with asyncio.timeout(5):
        await broker.stop()
    assert swallowed.is_set()
    assert rig.engine.links[0].closed


async def test_subscriptions_of_the_time_between_hold(rig: Rig) -> None:
    """Groups that were joined and left while there was no link are as they should be on the next."""
    broker = await rig.start()
    broker.subscribe("before")
    rig.engine.refusing = {"nats://127.0.0.1:4222"}
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: len(rig.engine.links) > 3)
    broker.subscribe("meanwhile")
    rig.engine.refusing = set()
    await until(lambda: rig.gaps == 1)
    channels = broker._channels
    expected = [channels.probe, channels.notices, channels.of_group("before"), channels.of_group("meanwhile")]
    assert rig.engine.links[-1].channels == expected


async def test_the_engines_limit_holds_while_it_is_there(rig: Rig) -> None:
    """Of the settings and the engine the smaller one decides, for messages and for what travels together."""
    rig.engine.most_bytes = 5000
    broker = await rig.start()
    assert (broker._most_bytes, broker._outbox.batch_bytes) == (5000, 5000 - broker._wire.overhead)
    rig.engine.refusing = {"nats://127.0.0.1:4222"}
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: not broker.status.connected)
    assert (broker._most_bytes, broker._outbox.batch_bytes) == (1_048_576, 65_536)


async def test_only_what_no_probe_has_proved_counts_as_unproved(rig: Rig) -> None:
    """A probe that came back proves all that was sent before it; each publication counts once."""
    broker = await rig.start()

    async def proved() -> None:
        for _ in range(2):
            trip = broker.status.round_trip_seconds
            await until(lambda trip=trip: broker.status.round_trip_seconds != trip)

    def publications() -> list[bytes]:
        group = broker._channels.of_group("news")
        return [data for link in rig.engine.links for channel, data in link.sent if channel == group]

    broker.publish(Publication("news", "x"))
    await proved()
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 1)
    assert broker.status.publications_unproved == 0
    rig.engine.mute = True
    await until(lambda: rig.engine.links[-1].sent[-1][1] != rig.engine.links[-1].sent[0][1])
    broker.publish(Publication("news", "y"))
    await until(lambda: len(publications()) == 2)
    rig.engine.mute = False
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 2)
    assert broker.status.publications_unproved == 1
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: rig.gaps == 3)
    assert broker.status.publications_unproved == 1
    assert broker.status.publications_lost == 0


async def test_what_had_not_left_is_lost_with_the_link(rig: Rig) -> None:
    """It is not sent later, when it would be old; the log and the figure say how much it was."""
    broker = await rig.start()
    rig.engine.room.clear()
    broker.publish(Publication("news", "on its way"))
    await until(lambda: not broker._outbox)
    for _ in range(3):
        broker.publish(Publication("news", "waits"))
    rig.engine.links[-1].ended.set_result(LinkError("gone"))
    await until(lambda: not broker.status.connected)
    rig.engine.room.set()
    await until(lambda: rig.gaps == 1)
    (line,) = [line for line in rig.log if line["event"] == "broker_disconnected"]
    assert (line["why"], line["lost"], line["unproved"]) == ("gone", 3, 1)
    assert (broker.status.publications_lost, broker.status.publications_unproved) == (3, 1)
    await until(lambda: (broker._channels.notices, broker._wire.loss()) in rig.engine.links[-1].sent)
    group = broker._channels.of_group("news")
    assert group not in {channel for channel, _ in rig.engine.links[-1].sent}


async def test_a_stop_waits_until_all_has_left(rig: Rig) -> None:
    """What waits in the outbox is sent before the link is closed; and the end is no fault to be logged."""
    broker = await rig.start()
    link = rig.engine.links[-1]
    rig.engine.room.clear()
    for group in ("a", "b", "c"):
        broker.publish(Publication(group, "x" * 60_000))
    await until(lambda: len(broker._outbox._entries) == 1)
    stopping = asyncio.ensure_future(broker.stop())
    await turns()
    assert not link.closed
    rig.engine.room.set()
    await stopping
    assert [channel for channel, _ in link.sent if "group" in channel] == [
        broker._channels.of_group(group) for group in ("a", "b", "c")
    ]
    assert link.closed
    assert [line["event"] for line in rig.log] == ["broker_connected"]


class TestDown:
    """What a broker does while it has no connection."""

    @pytest.fixture
    def down(self, rig: Rig) -> Callable[..., Any]:
        """A function that starts a broker without a connection."""
        rig.engine.refusing = {"nats://127.0.0.1:4222"}
        return rig.start

    async def test_local_members_go_on(self, rig: Rig, down: Callable[..., Any]) -> None:
        """Other nodes lose it, which is counted, and told them later, before anything new."""
        broker = await down()
        assert [broker.publish(Publication("news", "x")) for _ in range(3)] == [1, 1, 1]
        assert broker.status.publications_lost == 3
        rig.engine.refusing = set()
        await until(lambda: broker.status.connected)
        broker.publish(Publication("news", "y"))
        probe = broker._channels.probe
        link = rig.engine.links[-1]
        group = broker._channels.of_group("news")
        await until(lambda: any(channel == group for channel, _ in link.sent))
        told = [channel for channel, _ in link.sent if channel != probe]
        assert told == [broker._channels.notices, group]
        assert (broker._channels.notices, broker._wire.loss()) in link.sent

    async def test_publications_are_refused_where_settings_say_so(
        self, rig: Rig, down: Callable[..., Any]
    ) -> None:
        """Nobody gets it, and whoever published knows."""
        broker = await down(when_down="refuse", send_buffer_bytes=65_536)
        delivered: list[Publication] = []
        broker._deliver = lambda publication: delivered.append(publication) or 1
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            broker.publish(Publication("news", "x"))
        rig.engine.refusing = set()
        await until(lambda: broker.status.connected)
        assert broker.publish(Publication("news", "x" * 60_000)) == 1
        with pytest.raises(BrokerUnavailableError, match="too much waits"):
            broker.publish(Publication("news", "x" * 10_000))
        assert len(delivered) == 1
        assert broker.status.publications_lost == 0

    async def test_too_many_notes_are_refused(self, rig: Rig, down: Callable[..., Any]) -> None:
        """What cannot reach the others is not done here either."""
        broker = await down()
        assert broker.notify({"text": "x" * 1_000_000}) == 1
        with pytest.raises(BrokerUnavailableError, match="too many notes"):
            broker.notify({"text": "x" * 100_000})

    async def test_nothing_is_claimed(self, down: Callable[..., Any]) -> None:
        """Neither answer would be safe."""
        broker = await down()
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await broker.claim("key", 1)


async def test_a_claim_without_an_answer_is_none(rig: Rig) -> None:
    """What the library raises becomes an error that says so, and so does silence."""
    broker = await rig.start(probe_timeout_seconds=0.05)
    with pytest.raises(BrokerUnavailableError, match="no answer: KeyError"):
        await broker.claim("key", 1)
    with pytest.raises(BrokerUnavailableError, match="no answer in time"):
        await broker.claim("slow", 1)


async def test_a_broker_that_was_never_started(rig: Rig) -> None:
    """It reaches no one, harms no one, and can be stopped."""
    broker = rig.make()
    assert broker.publish(Publication("news", "x")) == 0
    assert broker.notify({}) == 0
    broker.subscribe("news")
    broker.unsubscribe("news")
