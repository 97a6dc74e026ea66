"""Tests of what keeps a link. The suites of the contract have real engines, here the link is scripted."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from nodes import until

from gateway.broker import backlog, keeper
from gateway.broker.contract import (
    BrokerUnavailableError,
    HistoryPolicy,
    Kept,
    MessageTooBigError,
    Position,
    Publication,
)
from gateway.broker.link import Found, Keep, LinkError, Place
from gateway.broker.linked import LinkedBroker
from gateway.broker.wire import LOSS
from gateway.config import NatsBrokerConfig
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.broker.link import Answered, Receive


async def turns() -> None:
    """Let the loop turn often enough for whatever is due."""
    for _ in range(20):
        await asyncio.sleep(0)


def told(rig: Rig, link: EngineLink) -> list[Any]:
    """Give what was sent to all nodes through a link, without the beats."""
    broker = rig.broker
    notices = [data for channel, data in link.sent if channel == broker._channels.notices]
    return [note for data in notices if (note := broker._wire.read_notice(data).note) is not True]


def history_of(group: str) -> HistoryPolicy | None:
    """Give the policy of rooms."""
    return HistoryPolicy("room:*", 10, 60.0) if group.startswith("room:") else None


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
        self.kept: list[tuple[str, bytes]] = []
        self.keeps = "answered"
        self.grants = asyncio.Event()
        self.grants.set()

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
        """Note it, when the engine grants it."""
        await self._engine.grants.wait()
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

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Keep them all, refuse them, or say nothing; what is kept comes back later."""
        loop = asyncio.get_running_loop()
        for message in messages:
            outcome: Any = BrokerUnavailableError("full")
            if self._engine.keeps != "refused":
                self._engine.kept.append((message.group, message.data))
                offset = len(self._engine.kept)
                outcome = Kept(Position(offset, "e")) if message.position_wanted else None
                loop.call_soon(self._receive, message.channel, message.data, Place(offset, offset - 1, "e"))
            if self._engine.keeps != "silent":
                loop.call_soon(answered, message, outcome)

    async def history(self, group: str, channel: str, *_: Any) -> Found:
        """Give all of the group; and an epoch that says whether its channel is asked for."""
        messages = [
            (Place(offset, 0, "e"), data)
            for offset, (kept, data) in enumerate(self._engine.kept, 1)
            if kept == group
        ]
        return Found(messages, Position(len(messages), str(channel in self.channels)), 0, whole=True)

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
        """Make the broker; groups whose name begins with `room:` keep history."""
        settings = {"type": "nats", "probe_interval_seconds": 0.01, "probe_timeout_seconds": 5, **settings}
        config = NatsBrokerConfig.model_validate(settings)
        log = make_logger("debug", "json", self.stream)
        self.broker = LinkedBroker(config, "one", log, self.engine.link, history_of)
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
    await until(lambda: None in told(rig, rig.engine.links[-1]))
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
        beat = broker._channels.notices
        sent = [channel for channel, data in link.sent if channel not in {probe, beat} or data[-1:] == LOSS]
        assert sent == [broker._channels.notices, group]
        assert told(rig, link) == [None]

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


class TestKept:
    """Publications to groups with history, which the engine keeps."""

    @pytest.fixture
    async def arrived(self, rig: Rig) -> list[Publication]:
        """What the node that the rig starts gets; it has a member in `room:1`."""
        broker = await rig.start(probe_timeout_seconds=0.05)
        found: list[Publication] = []
        broker._deliver = lambda publication: found.append(publication) or 1
        broker.subscribe("room:1")
        return found

    @pytest.fixture
    def notes(self, rig: Rig, arrived: list[Publication]) -> list[Any]:
        """The notes that it gets."""
        del arrived
        found: list[Any] = []
        rig.broker._notified = lambda note: found.append(note) or 1
        return found

    @staticmethod
    def texts(rig: Rig) -> list[Any]:
        """Give what the engine has kept."""
        return [
            rig.broker._wire.read_publications(data, "").publications[0].message
            for _, data in rig.engine.kept
        ]

    def end(self, rig: Rig) -> None:
        """End the link, and let no other be made."""
        rig.engine.refusing = {"nats://127.0.0.1:4222"}
        rig.engine.links[-1].ended.set_result(LinkError("gone"))

    async def test_they_come_back_from_the_engine(self, rig: Rig, arrived: list[Publication]) -> None:
        """Nobody gets them before, and everyone gets them with their place, the publisher's node too."""
        assert [rig.broker.publish(Publication("room:1", text)) for text in "ab"] == [0, 0]
        assert arrived == []
        await until(lambda: len(arrived) == 2)
        assert arrived == [
            Publication("room:1", "a", offset=1, previous=0, epoch="e"),
            Publication("room:1", "b", offset=2, previous=1, epoch="e"),
        ]
        assert rig.broker.status.dropped == {}

    async def test_they_wait_for_a_link(self, rig: Rig, arrived: list[Publication]) -> None:
        """And leave through the next one in their order, with no loss told; a stored one does not wait."""
        self.end(rig)
        await until(lambda: not rig.broker.status.connected)
        for number in range(3):
            rig.broker.publish(Publication("room:1", str(number)))
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await rig.broker.store(Publication("room:1", "x"))
        rig.engine.refusing = set()
        await until(lambda: len(arrived) == 3)
        assert self.texts(rig) == ["0", "1", "2"]
        status = rig.broker.status
        assert (status.publications_lost, status.publications_unproved) == (0, 0)
        assert told(rig, rig.engine.links[-1]) == []

    async def test_only_so_many_bytes_wait(self, rig: Rig, arrived: list[Publication]) -> None:
        """Above the limit whoever publishes is told, since the engine would not get it."""
        rig.broker._backlog._most_bytes = 1000
        self.end(rig)
        await until(lambda: not rig.broker.status.connected)
        rig.broker.publish(Publication("room:1", "x" * 600))
        with pytest.raises(BrokerUnavailableError, match="too much waits to be kept"):
            rig.broker.publish(Publication("room:1", "y" * 600))
        rig.engine.refusing = set()
        await until(lambda: len(arrived) == 1)
        rig.broker.publish(Publication("room:1", "z" * 600))
        await until(lambda: len(arrived) == 2)

    async def test_what_was_on_its_way_is_told_as_lost(
        self, rig: Rig, arrived: list[Publication], notes: list[Any]
    ) -> None:
        """It may be kept or not, so that it is not sent again; all nodes are told of its groups, by name."""
        rig.engine.keeps = "silent"
        for group in ("room:2", "room:1", "room:1"):
            rig.broker.publish(Publication(group, "x"))
        await until(lambda: len(rig.engine.kept) == 3)
        storing = asyncio.ensure_future(rig.broker.store(Publication("room:3", "x")))
        await until(lambda: len(rig.engine.kept) == 4)
        rig.broker.publish(Publication("news", "no history"))
        self.end(rig)
        await until(lambda: bool(notes))
        assert notes == [{"order": "lost", "groups": ["room:1", "room:2", "room:3"]}]
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await storing
        rig.engine.keeps = "answered"
        rig.engine.refusing = set()
        await until(lambda: notes[0] in told(rig, rig.engine.links[-1]))
        await until(lambda: rig.gaps == 1)
        await until(lambda: len(rig.engine.kept) == 7)
        place = Place(1, 0, "e")
        marks = [rig.broker._wire.read_kept(data, group, place) for group, data in rig.engine.kept[4:]]
        assert all(one.lost for one in marks)
        assert {one.group for one in marks} == {"room:1", "room:2", "room:3"}
        assert rig.broker.status.publications_unproved + rig.broker.status.publications_lost == 5

    async def test_what_is_never_answered_is_told_as_lost(
        self, rig: Rig, arrived: list[Publication], notes: list[Any]
    ) -> None:
        """An engine that carries but does not keep is found out, within the time of a probe and one more."""
        rig.engine.keeps = "silent"
        rig.broker.publish(Publication("room:1", "x"))
        with pytest.raises(BrokerUnavailableError, match="no answer in time"):
            await rig.broker.store(Publication("room:2", "x"))
        await until(lambda: rig.broker.status.publications_unproved == 2)
        await until(lambda: sum(len(note["groups"]) for note in notes) == 2)
        assert rig.broker.status.connected

    async def test_what_is_refused_is_told_as_lost(
        self, rig: Rig, arrived: list[Publication], notes: list[Any]
    ) -> None:
        """It is counted and logged; whoever stores is told, and no one else has to be."""
        rig.engine.keeps = "refused"
        with pytest.raises(BrokerUnavailableError, match="full"):
            await rig.broker.store(Publication("room:3", "x"))
        assert notes == []
        for group in ("room:1", "room:2", "room:1"):
            rig.broker.publish(Publication(group, "x"))
        await until(lambda: bool(notes))
        assert notes == [{"order": "lost", "groups": ["room:1", "room:2"]}]
        assert rig.broker.status.publications_refused == 3
        assert rig.broker.status.publications_unproved == 0
        lines = [line for line in rig.log if line["event"] == "broker_publication_refused"]
        assert [(line["why"], line["refused"]) for line in lines] == [("full", 1)]
        assert arrived == []

    async def test_it_is_told_where_there_is_room_for_no_note(
        self, rig: Rig, arrived: list[Publication]
    ) -> None:
        """Then all nodes learn that anything may be lost, this one too."""
        rig.engine.keeps = "silent"
        rig.broker.publish(Publication("room:1", "x"))
        await until(lambda: len(rig.engine.kept) == 1)
        rig.engine.refusing = {"nats://127.0.0.1:4222"}
        rig.broker._outbox._notice_bytes = 1_048_576
        rig.engine.links[-1].ended.set_result(LinkError("gone"))
        await until(lambda: rig.gaps == 1)
        assert [entry.tells_of_loss for entry in rig.broker._outbox._entries][-1]
        assert not rig.broker.status.connected

    async def test_a_slow_engine_holds_up_nothing_else(
        self, rig: Rig, arrived: list[Publication], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What needs no history goes its own way, while the keeping of others waits."""

        async def wait(*_: object) -> None:
            await asyncio.Event().wait()

        link = rig.engine.links[-1]
        monkeypatch.setattr(link, "keep", wait)
        rig.broker.publish(Publication("room:1", "x"))
        rig.broker.publish(Publication("news", "y"))
        channel = rig.broker._channels.of_group("news")
        await until(lambda: any(found == channel for found, _ in link.sent))

    async def test_a_stop_waits_for_the_answers(
        self, rig: Rig, arrived: list[Publication], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was published at the very end is kept before the link is closed."""
        monkeypatch.setattr(keeper, "_LEAVE_SECONDS", 30)
        for number in range(3000):
            rig.broker.publish(Publication("room:1", str(number)))
        await rig.broker.stop()
        assert self.texts(rig) == [str(number) for number in range(3000)]
        assert rig.engine.links[-1].closed

    async def test_a_stop_waits_for_what_is_kept_slowly(
        self, rig: Rig, arrived: list[Publication], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As long as the engine has not answered, the link stays."""
        monkeypatch.setattr(keeper, "_LEAVE_SECONDS", 30)
        rig.engine.keeps = "silent"
        rig.broker.publish(Publication("room:1", "x"))
        await until(lambda: len(rig.broker._backlog._under_way) == 1)
        stopping = asyncio.ensure_future(rig.broker.stop())
        for _ in range(5):
            await turns()
        assert not rig.engine.links[-1].closed
        (keep,) = rig.broker._backlog._under_way
        rig.broker._backlog.answered(keep, None)
        await stopping
        assert rig.engine.links[-1].closed

    async def test_a_stop_without_a_link_counts_what_waits(
        self, rig: Rig, arrived: list[Publication]
    ) -> None:
        """Nobody gets it any more: it is counted and logged; who waits for an answer is told by that."""
        self.end(rig)
        await until(lambda: not rig.broker.status.connected)
        for number in range(3):
            rig.broker.publish(Publication("room:1", str(number)))
        rig.broker._losses.add(["room:1"])
        rig.broker._losses.tell()
        waiting = rig.broker._backlog.ask(
            Keep("room:1", "c", b"x", HistoryPolicy("room:*", 10, 60.0), position_wanted=True)
        )
        await rig.broker.stop()
        status = rig.broker.status
        assert (status.publications_lost, status.publications_unproved) == (3, 0)
        (line,) = [line for line in rig.log if line["event"] == "broker_stop_incomplete"]
        assert (line["lost"], line["unproved"]) == (3, 0)
        with pytest.raises(BrokerUnavailableError, match="stopped"):
            await waiting

    async def test_a_stop_that_takes_too_long_counts_what_is_left(
        self, rig: Rig, arrived: list[Publication], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the engine has not answered may be kept; what it was not sent is lost."""
        monkeypatch.setattr(keeper, "_LEAVE_SECONDS", 0.05)
        monkeypatch.setattr(backlog, "MOST_UNDER_WAY", 2)
        rig.broker._config = rig.broker._config.model_copy(update={"probe_timeout_seconds": 60})
        rig.broker._keeper._config = rig.broker._config
        rig.engine.keeps = "silent"
        for number in range(5):
            rig.broker.publish(Publication("room:1", str(number)))
        await until(lambda: len(rig.engine.kept) == 2)
        await rig.broker.stop()
        (line,) = [line for line in rig.log if line["event"] == "broker_stop_incomplete"]
        assert (line["lost"], line["unproved"]) == (3, 2)

    async def test_storing_gives_the_position(self, rig: Rig, arrived: list[Publication]) -> None:
        """Behind whatever was published before, even in the same turn."""
        rig.broker.publish(Publication("room:1", "a"))
        assert await rig.broker.store(Publication("room:1", "b"), "key") == Kept(Position(2, "e"))
        assert self.texts(rig) == ["a", "b"]

    async def test_history_waits_for_subscriptions(self, rig: Rig, arrived: list[Publication]) -> None:
        """What is asked for is in force before the engine is asked what it has."""
        rig.broker.subscribe("room:7")
        assert (await rig.broker.history("room:7", None, 10)).newest.epoch == "True"
        rig.engine.grants.clear()
        rig.broker.subscribe("room:8")
        await until(lambda: rig.broker._subscriptions.told)
        asking = asyncio.ensure_future(rig.broker.history("room:8", None, 10))
        await turns()
        assert not asking.done()
        rig.engine.grants.set()
        assert (await asking).newest.epoch == "True"

    async def test_history_does_not_outlive_its_link(self, rig: Rig, arrived: list[Publication]) -> None:
        """Who waits for a subscription is told when the link ends."""
        rig.engine.grants.clear()
        rig.broker.subscribe("room:8")
        asking = asyncio.ensure_future(rig.broker.history("room:8", None, 10))
        await turns()
        self.end(rig)
        with pytest.raises(BrokerUnavailableError, match="no answer"):
            await asking
        rig.engine.grants.set()

    async def test_junk_in_a_history_is_a_lost_one(self, rig: Rig, arrived: list[Publication]) -> None:
        """It is counted, and stands at its place without a message, so that whoever comes to it is told."""
        await rig.broker.store(Publication("room:1", "a"))
        rig.engine.kept.append(("room:1", b"junk"))
        await rig.broker.store(Publication("room:1", "b"))
        found = await rig.broker.history("room:1", None, 10)
        assert [(one.offset, one.message, one.lost) for one in found.publications] == [
            (1, "a", False),
            (2, "", True),
            (3, "b", False),
        ]
        assert sum(rig.broker.status.dropped.values()) == 1

    async def test_groups_without_history(self, rig: Rig, arrived: list[Publication]) -> None:
        """They cannot be stored to, and have nothing to read."""
        with pytest.raises(ValueError, match="keeps no history"):
            await rig.broker.store(Publication("news", "x"))
        with pytest.raises(ValueError, match="keeps no history"):
            await rig.broker.history("news", None, 1)

    async def test_what_is_too_big(self, rig: Rig, arrived: list[Publication]) -> None:
        """A key takes room beside the message."""
        rig.broker._most_bytes = 1000
        size = (
            1000 - len(rig.broker._wire.publication(rig.broker._wire.pack(Publication("", "x" * 500)))) + 500
        )
        await rig.broker.store(Publication("room:1", "x" * size))
        with pytest.raises(MessageTooBigError):
            await rig.broker.store(Publication("room:1", "x" * size), "key")
        with pytest.raises(MessageTooBigError):
            rig.broker.publish(Publication("room:1", "x" * (size + 1)))

    async def test_where_publications_are_refused_while_it_is_down(self, rig: Rig) -> None:
        """Those to groups with history are, too."""
        rig.engine.refusing = {"nats://127.0.0.1:4222"}
        broker = await rig.start(when_down="refuse")
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            broker.publish(Publication("room:1", "x"))
