"""Tests of history over JetStream: what the contract leaves to the engine, and what fails with it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nodes import Side, until
from tcp_proxy import TcpProxy

from gateway.broker.contract import BrokerUnavailableError, History, HistoryPolicy, Publication
from gateway.broker.nats import history as reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nats.js import JetStreamContext
    from nats_server import NatsServer
    from nodes import Servers

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., NatsServer]

GROUP = "room:1"


def rooms(
    size: int = 100, seconds: float = 60, pattern: str = "room:*"
) -> Callable[[str], HistoryPolicy | None]:
    """Give a policy for rooms only."""
    policy = HistoryPolicy(pattern, size, seconds)
    return lambda group: policy if group.startswith("room:") else None


@pytest.fixture
def prefix() -> str:
    """The prefix of a gateway of the test's own."""
    return secrets.token_hex(4)


@pytest.fixture
async def jetstream(servers: Servers) -> AsyncIterator[JetStreamContext]:
    """JetStream of the server that tests share, as an operator sees it."""
    client = await nats.connect(servers.nats.url)
    yield client.jetstream()
    await client.close()


@pytest.fixture
def make(side: MakeSide, prefix: str) -> MakeSide:
    """A function that starts a node with a member in a room that keeps history."""

    async def start(name: str = "one", **options: Any) -> Side:
        options = {"history_of": rooms(), "prefix": prefix, "probe_timeout_seconds": 15, **options}
        node = await side("nats", name, **options)
        node.join(GROUP)
        return node

    return start


async def streams_of(jetstream: JetStreamContext, prefix: str) -> list[Any]:
    """Give the streams in which a gateway's histories lie."""
    found = [info.config for info in await jetstream.streams_info() if info.config.name is not None]
    return [config for config in found if config.name.startswith(f"{prefix}_history_")]


def texts(history: History) -> list[Any]:
    """Give the messages."""
    return [publication.message for publication in history.publications]


async def store(node: Side, text: str) -> Any:
    """Store a publication, and give its position."""
    return (await node.broker.store(Publication(GROUP, text))).position


# Streams.


async def test_one_stream_for_each_pattern(make: MakeSide, jetstream: JetStreamContext, prefix: str) -> None:
    """It is as the settings say, and carries the epoch at the end of its name."""
    one = await make(
        history_of=rooms(7, 30, "room:* > .\ud800"), idempotency_seconds=100, history_storage="memory"
    )
    assert await streams_of(jetstream, prefix) == []
    first = await store(one, "a")
    await one.broker.store(Publication("room:2", "b"))
    (stream,) = await streams_of(jetstream, prefix)
    assert stream.name.endswith(f"_{first.epoch}")
    found = (stream.max_msgs_per_subject, stream.max_age, stream.duplicate_window, stream.storage)
    assert found == (7, 100, 100, "memory")
    assert (stream.num_replicas, stream.allow_direct) == (1, True)
    other = await make("two", history_of=rooms(pattern="r*", seconds=1000), idempotency_seconds=60)
    assert (await store(other, "a")).epoch != first.epoch
    found = [(stream.max_age, stream.duplicate_window) for stream in await streams_of(jetstream, prefix)]
    assert sorted(found) == [(100, 100), (1010, 60)]


async def test_nodes_that_begin_at_once_share_a_stream(
    make: MakeSide, jetstream: JetStreamContext, prefix: str
) -> None:
    """One of them makes it, the others use it, though the server would give each of them one."""
    each = {"history_of": lambda group: HistoryPolicy(group, 100, 60)}
    nodes = [await make(name, **each) for name in "abcdefgh"]
    for number in range(10):
        publication = Publication(str(number), "x")
        kept = await asyncio.gather(*(node.broker.store(publication) for node in nodes))
        assert len({one.position.epoch for one in kept}) == 1
        assert sorted(one.position.offset for one in kept) == list(range(1, 9))
    assert len(await streams_of(jetstream, prefix)) == 10


async def test_a_node_that_dies_while_it_makes_a_stream(make: MakeSide) -> None:
    """Its claim to make it ends, and another does."""
    one = await make(probe_timeout_seconds=10)
    mark = hashlib.sha256(b"room:*").hexdigest()[:16]
    assert await one.broker.claim(f"stream {mark}", 1)
    assert (await store(one, "x")).offset == 1
    assert (await store(await make("two"), "x")).offset == 2


async def test_changed_settings_change_the_stream(
    make: MakeSide, jetstream: JetStreamContext, prefix: str
) -> None:
    """Nothing that it has is lost by it; but it does not say any more that it has all, for the time being."""
    one = await make(history_of=rooms(3))
    for number in range(5):
        last = await store(one, str(number))
    assert texts(await one.broker.history(GROUP, None, 10)) == ["2", "3", "4"]
    two = await make("two", history_of=rooms(10, 1))
    found = await two.broker.history(GROUP, None, 10)
    assert (texts(found), found.newest, found.floor, found.whole) == (["2", "3", "4"], last, 2, False)
    (stream,) = await streams_of(jetstream, prefix)
    assert (stream.max_msgs_per_subject, stream.max_age) == (10, 120)
    async with asyncio.timeout(10):
        while not (await two.broker.history(GROUP, None, 10)).whole:
            await asyncio.sleep(0.05)
    three = await make("three", history_of=rooms(2))
    assert texts(await three.broker.history(GROUP, None, 10)) == ["3", "4"]


async def test_an_operators_settings_stay(make: MakeSide, jetstream: JetStreamContext, prefix: str) -> None:
    """What the gateway has no setting for is left as it is; with a limit of its own it is never whole."""
    await store(await make(), "a")
    (stream,) = await streams_of(jetstream, prefix)
    stream.max_bytes, stream.description, stream.max_msgs_per_subject = 100_000, "ours", 5
    await jetstream.update_stream(stream)
    assert not (await (await make("two")).broker.history(GROUP, 0, 10)).whole
    (stream,) = await streams_of(jetstream, prefix)
    assert (stream.max_bytes, stream.description, stream.max_msgs_per_subject) == (100_000, "ours", 100)


async def test_a_stream_of_others_is_not_touched(
    make: MakeSide, jetstream: JetStreamContext, prefix: str
) -> None:
    """One that takes the gateway's subjects among others is somebody's: history says so."""
    await jetstream.add_stream(name=f"{prefix}_all", subjects=[f"{prefix}.>"])
    one = await make()
    with pytest.raises(BrokerUnavailableError, match="not the gateway's"):
        await one.broker.history(GROUP, None, 1)
    with pytest.raises(BrokerUnavailableError, match="not the gateway's"):
        await store(one, "x")
    await jetstream.delete_stream(f"{prefix}_all")
    assert (await store(one, "x")).offset == 1


async def test_a_stream_that_is_gone_is_made_anew(
    make: MakeSide, jetstream: JetStreamContext, prefix: str
) -> None:
    """Publications that meet none are told as lost; then there is another epoch."""
    one = await make()
    first = await store(one, "a")
    (stream,) = await streams_of(jetstream, prefix)
    await jetstream.delete_stream(stream.name)
    one.broker.publish(Publication(GROUP, "b"))
    assert await one.next_note() == {"order": "lost", "groups": [GROUP]}
    assert one.status.publications_refused == 1
    second = await store(one, "c")
    assert second.offset == 2  # the first one tells of the loss
    assert second.epoch != first.epoch
    (stream,) = await streams_of(jetstream, prefix)
    await jetstream.delete_stream(stream.name)
    found = await one.broker.history(GROUP, None, 10)
    assert (texts(found), found.newest.offset) == ([], 0)
    assert found.newest.epoch not in {first.epoch, second.epoch}


async def test_a_header_of_the_publishers_is_not_believed(
    make: MakeSide, jetstream: JetStreamContext, prefix: str
) -> None:
    """The place of a message is what the server has written, in the live message and in the history."""
    one = await make()
    await store(one, "a")
    (stream,) = await streams_of(jetstream, prefix)
    subject = f"{stream.subjects[0][:-1]}{one.broker._channels.of_group(GROUP).rpartition('.')[2]}"
    data = one.broker._wire.publication(one.broker._wire.pack(Publication(GROUP, "b")))
    forged = {
        "Nats-Sequence": "77",
        "Nats-Last-Sequence": "76",
        "Nats-Stream": "x_e",
        "Nats-Num-Pending": "9",
    }
    await jetstream.publish(subject, data, headers=forged)
    first, second = await one.next(), await one.next()
    assert (second.offset, second.previous, second.epoch) == (2, 1, first.epoch)
    assert (await one.broker.history(GROUP, 1, 10)).publications == (second,)


# Reading.


async def test_the_last_ones_of_many(make: MakeSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found without a look at all the others, between those of other groups."""
    one = await make(history_of=rooms(5000))
    for number in range(1500):
        one.broker.publish(Publication("room:2" if number < 400 or number % 3 else GROUP, str(number)))
    await store(one, "last")
    monkeypatch.setattr(reading, "_SPARE", 20)
    read: list[int] = []
    ask = reading._Reading._ask

    async def counted(*arguments: Any) -> Any:
        answer = await ask(*arguments)
        read.append(len(answer[0]))
        return answer

    monkeypatch.setattr(reading._Reading, "_ask", counted)
    expected = [str(number) for number in range(402, 1500, 3)] + ["last"]
    for limit in (1, 5, 100, 366, 367, 368, 1000):
        read.clear()
        found = await one.broker.history(GROUP, None, limit)
        assert texts(found) == expected[-limit:]
        assert sum(read) <= limit + 40
        assert all(b.previous == a.offset for a, b in pairwise(found.publications))
        if limit < len(expected):
            assert found.floor == found.publications[0].previous > 0


async def test_much_is_read_in_parts(make: MakeSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part goes on where the one before has ended."""
    monkeypatch.setattr(reading, "_AT_ONCE", 7)
    one = await make()
    for number in range(50):
        one.broker.publish(Publication(GROUP, str(number)))
    last = await store(one, "50")
    found = await one.broker.history(GROUP, 10, 30)
    assert texts(found) == [str(number) for number in range(10, 40)]
    assert (found.newest, found.floor) == (last, 10)
    assert texts(await one.broker.history(GROUP, 45, 100)) == [str(number) for number in range(45, 51)]


async def test_what_is_older_than_its_seconds_is_left_out(make: MakeSide) -> None:
    """Though the stream keeps it longer: that nothing is missing between is known so, and told."""
    one = await make(history_of=rooms(10, 1))
    old = await store(one, "old")
    async with asyncio.timeout(10):
        while texts(await one.broker.history(GROUP, None, 10)):
            await asyncio.sleep(0.05)
    found = await one.broker.history(GROUP, 0, 10)
    assert (texts(found), found.newest, found.floor, found.whole) == ([], old, 1, True)
    young = await store(one, "young")
    found = await one.broker.history(GROUP, 0, 10)
    assert (texts(found), found.newest, found.floor, found.whole) == (["young"], young, 1, True)
    assert found.publications[0].previous == 1


async def test_nothing_is_missing_that_a_read_says_is_not(make: MakeSide) -> None:
    """While others are published, so that the oldest are thrown away in the middle of a read."""
    # A read begins anew as long as the oldest go: on a busy machine that takes its time.
    one, two = [await make(name, history_of=rooms(20)) for name in ("one", "two")]
    done = False

    async def publish() -> None:
        number = 0
        while not done:
            for _ in range(10):
                number += 1
                one.broker.publish(Publication(GROUP if number % 3 else "room:2", str(number)))
            await asyncio.sleep(0)

    publishing = asyncio.ensure_future(publish())
    since = (await two.next()).offset
    for _ in range(20):
        found = await two.broker.history(GROUP, since, 1000)
        seen = [publication.offset for publication in found.publications]
        assert all(offset > since for offset in seen)
        if seen:
            before = found.publications[0].previous
            numbers = [int(text) for text in texts(found)]
            # Every third number is another group's.
            assert all(b - a == 1 + (b % 3 == 1) for a, b in pairwise(numbers))
            assert found.floor == (before or found.floor)
            assert found.floor in {since, before, seen[0] - 1}
        since = max(found.newest.offset - 5, 1)
    done = True
    await publishing


async def test_what_is_thrown_away_in_the_middle_of_a_read(
    make: MakeSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before the hole is left out, and the first publication behind it names none before it."""
    monkeypatch.setattr(reading, "_AT_ONCE", 2)
    one = await make(history_of=rooms(5))
    for number in range(1, 6):
        await store(one, str(number))
    ask = reading._Reading._ask

    async def then_publish(*arguments: Any) -> Any:
        answer = await ask(*arguments)
        if len(answer[0]) == 2 and answer[0][-1].offset < 4:
            for number in range(4):
                await store(one, f"{number} more")
        return answer

    monkeypatch.setattr(reading._Reading, "_ask", then_publish)
    found = await one.broker.history(GROUP, 1, 10)
    assert [(place.offset, place.previous) for place in found.publications] == [
        (5, 0),
        (6, 5),
        (7, 6),
        (8, 7),
        (9, 8),
    ]
    assert (found.floor, found.whole) == (4, False)


# Faults.


async def test_killed_and_back(make: MakeSide, nats_server: MakeServer) -> None:
    """Offsets go on in the same epoch; what was published meanwhile leaves then, in order, for all."""
    server = nats_server(jetstream=True)
    one, two = [await make(name, urls=[server.url]) for name in ("one", "two")]
    first = (await one.broker.store(Publication(GROUP, "a"), "key")).position
    await one.settled()
    await asyncio.to_thread(server.kill)
    await until(lambda: not one.status.connected and not two.status.connected)
    for number in range(5):
        assert one.broker.publish(Publication(GROUP, str(number))) == 0
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await store(one, "x")
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await one.broker.history(GROUP, None, 1)
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps > 0 and two.gaps > 0)
    assert (await two.broker.store(Publication(GROUP, "a"), "key")).repeated
    last = await store(one, "last")
    assert last == (7, first.epoch)
    for node in (one, two):
        live = [await node.next()]
        while live[-1].offset < last.offset:
            live.append(await node.next())
        # A node that was connected later may have missed some, which it reads.
        kept = (await node.broker.history(GROUP, 1, 10)).publications
        assert [publication.message for publication in kept] == ["0", "1", "2", "3", "4", "last"]
        assert set(live[1:]) <= set(kept)
    assert (one.status.publications_lost, one.status.publications_unproved) == (0, 0)


async def test_lost_storage_is_another_epoch(make: MakeSide, nats_server: MakeServer) -> None:
    """A server that comes back without its disk counts anew, and nobody takes it for the old count."""
    server = nats_server(jetstream=True)
    one = await make(urls=[server.url])
    first = await store(one, "a")
    await asyncio.to_thread(server.kill)
    shutil.rmtree(server.folder / "data")
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps == 1)
    second = await store(one, "b")
    assert second.offset == 1
    assert second.epoch != first.epoch
    assert texts(await one.broker.history(GROUP, 0, 10)) == ["b"]


async def test_storage_that_has_lost_its_end_is_another_epoch(
    make: MakeSide, nats_server: MakeServer, tmp_path: Path
) -> None:
    """As after a power failure, if the server had not synced: the same offsets are not given again."""
    server = nats_server(jetstream=True)
    one = await make(urls=[server.url])
    first = await store(one, "a")
    await asyncio.to_thread(server.end)
    shutil.copytree(server.folder / "data", tmp_path / "old")
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps == 1)
    assert await store(one, "b") == (2, first.epoch)
    await asyncio.to_thread(server.kill)
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "old", server.folder / "data")
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps == 2)
    found = await one.broker.history(GROUP, 1, 10)
    assert (texts(found), found.newest.offset) == ([], 0)
    assert found.newest.epoch != first.epoch


async def test_cut_with_publications_on_their_way(make: MakeSide, nats_server: MakeServer) -> None:
    """All nodes are told which groups may have lost something; what had not left is kept, in order."""
    server = nats_server(jetstream=True)
    async with TcpProxy(server.port) as line:
        one = await make(urls=[f"nats://127.0.0.1:{line.port}"], probe_timeout_seconds=0.5)
        two = await make("two", urls=[server.url])
        await store(one, "before")
        line.swallow()
        for number in range(3):
            one.broker.publish(Publication("room:7", str(number)))
        await until(lambda: len(one.broker._backlog._under_way) == 3)
        await until(lambda: not one.status.connected)
        for number in range(3):
            one.broker.publish(Publication(GROUP, str(number)))
        line.break_off()
        line.mend()
        lost = {"order": "lost", "groups": ["room:7"]}
        assert await one.next_note() == lost
        assert await two.next_note() == lost
        assert [(await two.next()).message for _ in range(4)] == ["before", "0", "1", "2"]
        assert one.status.publications_unproved == 3
        assert one.status.publications_lost == 0


async def test_without_jetstream(make: MakeSide, nats_server: MakeServer) -> None:
    """What needs no history works; what needs it says what is missing, and publications are told as lost."""
    one = await make(urls=[nats_server().url])
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError, match="the nats server has no jetstream"):
            await store(one, "x")
        with pytest.raises(BrokerUnavailableError, match="the nats server has no jetstream"):
            await one.broker.history(GROUP, None, 1)
    one.broker.publish(Publication(GROUP, "x"))
    assert await one.next_note() == {"order": "lost", "groups": [GROUP]}
    assert one.status.publications_refused == 1
    one.join("news")
    assert one.broker.publish(Publication("news", "y")) == 1
    assert (await one.next()).message == "y"
    assert one.status.connected


async def test_a_full_storage(make: MakeSide, nats_server: MakeServer) -> None:
    """What finds no room is told as lost, and why stands in the log."""
    server = nats_server('jetstream: {store_dir: "FOLDER/data", max_file_store: 20000}')
    one = await make(urls=[server.url])
    last = 0

    async def fill() -> None:
        nonlocal last
        for _ in range(100):
            last = (await store(one, "x" * 1000)).offset

    with pytest.raises(BrokerUnavailableError, match="the nats server says: "):
        await fill()
    one.broker.publish(Publication(GROUP, "y" * 1000))
    assert await one.next_note() == {"order": "lost", "groups": [GROUP]}
    assert one.events("broker_publication_refused")
    assert (await one.broker.history(GROUP, None, 1)).newest.offset == last


async def test_more_copies_than_servers(make: MakeSide) -> None:
    """A setting that the server cannot fulfil is told with its words."""
    one = await make(history_replicas=3)
    with pytest.raises(BrokerUnavailableError, match="the nats server says: replicas > 1"):
        await store(one, "x")


# A cluster, and rights.


@pytest.fixture
def cluster(nats_server: MakeServer) -> list[NatsServer]:
    """Three servers that keep copies for each other."""
    ports = []
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    return [
        nats_server(
            f'server_name: "s{port}"\ncluster: {{name: c, listen: "127.0.0.1:{port}", routes: [{routes}]}}',
            jetstream=True,
        )
        for port in ports
    ]


async def test_copies_on_several_servers(make: MakeSide, cluster: list[NatsServer]) -> None:
    """Whichever server a node asks, it knows at once what was stored before, through whichever other."""
    settings = {"history_of": rooms(1000), "history_replicas": 3, "probe_timeout_seconds": 1}
    nodes = [await make(str(number), urls=[server.url], **settings) for number, server in enumerate(cluster)]
    async with asyncio.timeout(30):
        while True:  # the servers have to find each other first
            try:
                last = await store(nodes[0], "0")
                break
            except BrokerUnavailableError:
                await asyncio.sleep(0.05)
    expected = ["0"]
    for number in range(1, 100):
        expected.append(str(number))
        last = await store(nodes[number % 3], str(number))
        found = await nodes[-number % 3].broker.history(GROUP, last.offset - 2, 10)
        assert (texts(found), found.newest) == (expected[-2:], last)


async def test_the_rights_that_history_needs(make: MakeSide, nats_server: MakeServer, prefix: str) -> None:
    """Those that the operator's guide names are enough."""
    publish = f'["{prefix}.>", "$JS.API.>", "$KV.{prefix}_claims.>"]'
    server = nats_server(
        f"authorization: {{users: [{{user: u, password: p, permissions: {{publish: {publish}, "
        f'subscribe: ["{prefix}.>", "_INBOX.>"]}}}}]}}',
        jetstream=True,
    )
    one = await make(urls=[server.url], user="u", password="p")
    await one.broker.store(Publication(GROUP, "a"), "key")
    one.broker.publish(Publication(GROUP, "b"))
    assert [(await one.next()).message for _ in range(2)] == ["a", "b"]
    assert texts(await one.broker.history(GROUP, 0, 10)) == ["a", "b"]
    assert texts(await one.broker.history(GROUP, None, 10)) == ["a", "b"]
    two = await make("two", urls=[server.url], user="u", password="p", history_of=rooms(7))
    assert texts(await two.broker.history(GROUP, 1, 10)) == ["b"]
    assert not one.events("broker_disconnected")
    assert not two.events("broker_disconnected")
