"""Tests of history in a real Valkey server: what is kept how, and what fails there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nodes import PATIENCE_SECONDS, Side, some_history, until

from gateway.broker.contract import BrokerUnavailableError, HistoryPolicy, Position, Publication
from gateway.broker.link import Place
from gateway.broker.valkey.history import ValkeyHistory, read_place
from gateway.config import ValkeyBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from valkey_server import ValkeyServer

    from gateway.broker.contract import History

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., ValkeyServer]

GROUP = "x.history.{nbmV3cw}"
"""The key of what is known of the group `news`, with the prefix `x`."""
ENTRIES = f"{GROUP}.entries"
"""The key of what it keeps."""

DISK = ("appendonly yes", "appendfsync always")
"""A server that loses nothing when it is killed."""


@pytest.fixture
def make(side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway."""

    async def start(name: str = "one", **options: Any) -> Side:
        options = {"history_of": some_history, "prefix": "x", "probe_timeout_seconds": 15, **options}
        node = await side("valkey", name, **options)
        node.join("news")
        await node.settled()
        return node

    return start


@pytest.fixture
async def node(make: MakeSide, valkey_server: MakeServer) -> Side:
    """A node with a server of the test's own."""
    return await make(urls=[valkey_server().url])


async def ask(node: Side, *command: str | int) -> Any:
    """Send a command to the server."""
    return await node.broker._keeper.link._primary.ask(command)


async def store(node: Side, number: int, group: str = "news") -> list[Position]:
    """Publish so many publications, and give their positions."""
    return [(await node.broker.store(Publication(group, f"message {one}"))).position for one in range(number)]


async def read(node: Side, since: int | None = None, group: str = "news") -> History:
    """Read what is kept."""
    history: History = await node.broker.history(group, since, 1000)
    return history


def texts(history: History) -> list[str]:
    """Give the messages."""
    return [str(one.message) for one in history.publications]


class TestKeys:
    """What lies in the server."""

    async def test_everything_ends_by_itself(self, node: Side) -> None:
        """Entries after the seconds of the policy, what is known of the group a day later."""
        await node.broker.store(Publication("news", "x"), idempotency_key="k")
        await read(node, group="never published")
        keys = await ask(node, "KEYS", "*")
        assert len(keys) == 4
        assert all(key.startswith(b"x.history.{n") for key in keys)
        left = {key.decode(): await ask(node, "PTTL", key) for key in keys}
        assert 0 < left.pop(ENTRIES) <= 60_000
        assert 60_000 < left.pop(GROUP) <= 86_400_000
        (name,) = (key for key in left if key.startswith(f"{GROUP}."))
        assert 60_000 < left.pop(name) <= 120_000
        ((_, milliseconds),) = left.items()
        assert 60_000 < milliseconds <= 86_400_000

    async def test_old_entries_are_taken_out(self, node: Side) -> None:
        """Not only left out of answers, and however many there are: by the next publication or reading."""
        node.join("brief")
        for number in (1, 2, 7, 40):
            entries = "x.history.{nYnJpZWY}.entries"
            async with asyncio.timeout(PATIENCE_SECONDS):
                await store(node, number, "brief")
                while await ask(node, "PTTL", entries) > 100:
                    await asyncio.sleep(0.005)
                (last,) = await store(node, 1, "brief")
                while texts(history := await read(node, group="brief")) not in ([], ["message 0"]):
                    await asyncio.sleep(0.005)
            assert await ask(node, "XLEN", entries) == len(history.publications)
            assert history.newest == last
            assert history.floor == last.offset - len(history.publications)

    async def test_a_smaller_size(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """It holds from the next publication on."""
        url = valkey_server().url
        one = await make(urls=[url])
        await store(one, 10)
        short = some_history("short")
        two = await make("two", urls=[url], history_of=lambda _: short)
        (last,) = await store(two, 1)
        history = await read(one)
        assert [publication.offset for publication in history.publications] == [7, 8, 9, 10, 11]
        assert (history.newest, history.floor, history.whole) == (last, 6, False)

    async def test_all_that_is_within_the_time(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """A group at its size is whole as long as what gave way was too old anyway."""
        url = valkey_server().url
        policy = some_history("short")
        assert policy is not None
        one = await make(urls=[url], history_of=lambda _: policy)
        hasty = await make("two", urls=[url], history_of=lambda _: policy._replace(seconds=0.3))
        await store(one, 5)
        assert (await read(one)).whole
        await store(one, 1)
        all_too_old = asyncio.get_running_loop().time() + 0.35
        assert not (await read(one)).whole
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await read(hasty)).whole or asyncio.get_running_loop().time() < all_too_old:
                await asyncio.sleep(0.005)
        await store(one, 5)
        assert (await read(hasty)).whole
        assert not (await read(one)).whole


class TestFaults:
    """What somebody else does to the server."""

    async def test_the_scripts_are_removed(self, node: Side) -> None:
        """Nothing is lost by it but what was on its way in that moment, and that is told."""
        positions = []
        for number in range(20):
            if number % 3 == 0:
                await ask(node, "SCRIPT", "FLUSH")
            positions += await store(node, 1)
            assert len(texts(await read(node))) == number + 1
        assert [position.offset for position in positions] == list(range(1, 21))
        assert node.status.publications_refused == 0

    async def test_the_scripts_are_removed_in_between(self, node: Side) -> None:
        """Those that come too late for the script that the first of a turn brings along are told as lost."""
        node.broker._keeper.link._primary.history._keep_hash = "0" * 40  # as if it were gone each time
        for number in range(10):
            node.broker.publish(Publication("news", str(number)))
        assert await node.next_note() == {"order": "lost", "groups": ["news"]}
        assert node.status.publications_refused == 9
        (line,) = node.events("broker_publication_refused")
        assert "NOSCRIPT" in line["why"] or "No matching script" in line["why"]
        await store(node, 1)
        assert [one.message for one in await node.next_ones(3)] == ["0", "", "message 0"]

    async def test_a_killed_server_with_its_data(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """The history goes on where it was, and so do idempotency keys."""
        server = valkey_server(*DISK)
        node = await make(urls=[server.url])
        before = await store(node, 3)
        first = await node.broker.store(Publication("news", "named"), idempotency_key="k")
        await asyncio.to_thread(server.kill)
        await until(lambda: not node.status.connected)
        await asyncio.to_thread(server.start)
        await until(lambda: node.gaps == 1)
        again = await node.broker.store(Publication("news", "named"), idempotency_key="k")
        assert (again.position, again.repeated) == (first.position, True)
        (after,) = await store(node, 1)
        assert after == (5, before[0].epoch)
        assert texts(await read(node)) == ["message 0", "message 1", "message 2", "named", "message 0"]

    async def test_a_killed_server_without_its_data(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """Another epoch begins, which says that nothing can be compared."""
        server = valkey_server()
        node = await make(urls=[server.url])
        before = await store(node, 3)
        await asyncio.to_thread(server.kill)
        await until(lambda: not node.status.connected)
        await asyncio.to_thread(server.start)
        await until(lambda: node.gaps == 1)
        history = await read(node, before[-1].offset)
        assert history.publications == ()
        assert history.newest.offset == 0
        assert history.newest.epoch != before[0].epoch
        assert await store(node, 1) == [(1, history.newest.epoch)]

    async def test_a_server_that_has_lost_its_end(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """One that was started from an older copy would give offsets again: it begins another epoch."""
        server = valkey_server()
        node, other = await make(urls=[server.url]), await make("two", urls=[server.url])
        before = await store(node, 3)
        await ask(node, "SAVE")
        before += await store(node, 2)
        await asyncio.to_thread(server.kill)
        await until(lambda: not node.status.connected and not other.status.connected)
        await asyncio.to_thread(server.start)
        await until(lambda: node.gaps == 1 and other.gaps == 1)
        (after,) = await store(other, 1)
        assert after.epoch != before[0].epoch
        assert await store(node, 1) == [(2, after.epoch)]
        for one in (node, other):
            history = await read(one)
            assert [publication.offset for publication in history.publications] == [1, 2]
            assert {publication.epoch for publication in history.publications} == {after.epoch}

    async def test_a_replica_that_takes_over(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """It may lack what came last: another epoch begins, though it writes to a disk."""
        first = valkey_server(*DISK, "repl-diskless-sync-delay 0")
        second = valkey_server(*DISK, f"replicaof 127.0.0.1 {first.port}")
        node = await make(urls=[first.url, second.url])
        before = await store(node, 3)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await run(second, "EXISTS", ENTRIES) != b":1":
                await asyncio.sleep(0.01)
        await asyncio.to_thread(first.kill)
        await until(lambda: not node.status.connected)
        with pytest.raises(BrokerUnavailableError):
            await store(node, 1)
        assert await run(second, "REPLICAOF", "NO", "ONE") == b"+OK"
        await until(lambda: node.status.connected)
        (after,) = await store(node, 1)
        assert after.epoch != before[0].epoch
        assert texts(await read(node)) == ["message 0"]

    async def test_a_primary_that_was_a_replica_for_a_while(
        self, make: MakeSide, valkey_server: MakeServer
    ) -> None:
        """It lacks what the other one did not have, though it ran on: another epoch begins, for all nodes."""
        quick = ("repl-diskless-sync-delay 0", "repl-backlog-ttl 1")
        first = valkey_server(*quick)
        second = valkey_server(*quick, f"replicaof 127.0.0.1 {first.port}")
        node = await make(urls=[first.url])
        before = await store(node, 1)

        async def until_it_says(server: ValkeyServer, says: bytes, *command: str) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while says not in await run(server, *command):
                    await asyncio.sleep(0.01)

        await until_it_says(second, b":1", "EXISTS", ENTRIES)
        await run(second, "REPLICAOF", "NO", "ONE")
        before += await store(node, 2)
        await run(first, "REPLICAOF", "127.0.0.1", str(second.port))
        await until_it_says(first, b"master_link_status:up", "INFO", "replication")
        await run(first, "REPLICAOF", "NO", "ONE")
        await until(lambda: node.status.connected and node.gaps == 1)
        (after,) = await store(node, 1)
        assert after.epoch not in {position.epoch for position in before}
        # An hour later (a second, as set here) the server forgets that it was one; nodes agree all the same.
        await run(second, "REPLICAOF", "NO", "ONE")
        await until_it_says(first, b"master_replid2:" + b"0" * 40, "INFO", "replication")
        late = await make("late", urls=[first.url])
        positions = [position for one in (late, node, late) for position in await store(one, 1)]
        assert positions == [(number, after.epoch) for number in (2, 3, 4)]

    async def test_a_server_that_begins_to_write_to_a_disk(
        self, make: MakeSide, valkey_server: MakeServer
    ) -> None:
        """Nodes that came before and after agree on the epoch."""
        url = valkey_server().url
        one = await make(urls=[url])
        before = await store(one, 1)
        await ask(one, "CONFIG", "SET", "appendonly", "yes")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"aof_rewrite_in_progress:1" in await ask(one, "INFO", "persistence"):
                await asyncio.sleep(0.01)
        two = await make("two", urls=[url])
        for node in (two, one, two):
            before += await store(node, 1)
        assert [position.offset for position in before] == [1, 2, 3, 4]
        assert len({position.epoch for position in before}) == 1

    @pytest.mark.parametrize("command", [("DEL", GROUP), ("FLUSHALL",), ("HDEL", GROUP, "offset")])
    async def test_what_is_known_of_a_group_is_gone(self, node: Side, command: tuple[str, ...]) -> None:
        """As one that was evicted: another epoch begins, and who was there is told by it."""
        before = await store(node, 3)
        await node.next_ones(3)
        await ask(node, *command)
        history = await read(node)
        assert history.newest.offset == 0
        assert history.newest.epoch != before[0].epoch
        assert texts(history) == []
        await ask(node, *command)
        (after,) = await store(node, 1)
        assert after.offset == 1
        assert after.epoch not in {history.newest.epoch, before[0].epoch}
        arrived = await node.next()
        assert (arrived.epoch, arrived.previous) == (after.epoch, 0)
        assert texts(await read(node)) == ["message 0"]

    @pytest.mark.parametrize(
        "command",
        [
            ("DEL", ENTRIES),
            ("XTRIM", ENTRIES, "MAXLEN", 1),
            ("XTRIM", ENTRIES, "MAXLEN", 0),
        ],
    )
    async def test_what_a_group_keeps_is_gone(self, node: Side, command: tuple[str, ...]) -> None:
        """The floor says what is missing, and nothing is whole; the group goes on."""
        before = await store(node, 3)
        await ask(node, *command)
        kept = int(command[-1]) if command[-1] != ENTRIES else 0
        for since in (None, 0):
            history = await read(node, since)
            assert len(texts(history)) == kept
            assert (history.newest, history.floor, history.whole) == (before[-1], 3 - kept, False)
        assert await store(node, 1) == [(4, before[0].epoch)]
        history = await read(node, before[0].offset)
        assert [one.previous for one in history.publications] == list(range(3 - kept, 4))
        assert (history.floor, history.whole) == (3 - kept, False)

    @pytest.mark.parametrize("taken", ["2", "3", "4"])
    async def test_some_of_what_a_group_keeps_is_gone(self, node: Side, taken: str) -> None:
        """A hole in the middle, or at the end, is no history at all."""
        before = await store(node, 4)
        (entry,) = await ask(node, "XRANGE", ENTRIES, taken, taken)
        await ask(node, "XDEL", ENTRIES, entry[0])
        history = await read(node, 0)
        assert (history.publications, history.newest, history.floor) == ((), before[-1], 4)
        assert not history.whole
        await store(node, 1)
        assert [one.offset for one in (await read(node, 0)).publications] == [5]

    async def test_the_two_keys_do_not_fit(self, node: Side) -> None:
        """As when somebody has brought one of them back from an older copy: another epoch begins."""
        before = await store(node, 3)
        await ask(node, "HSET", GROUP, "offset", 1)
        (after,) = await store(node, 1)
        assert after.offset == 1
        assert after.epoch != before[0].epoch
        assert texts(await read(node)) == ["message 0"]

    @pytest.mark.parametrize("key", [GROUP, ENTRIES])
    async def test_something_else_at_the_key(self, node: Side, key: str) -> None:
        """It is left as it is; publications are refused and counted, and every node is told."""
        await ask(node, "SET", key, "ours")
        node.broker.publish(Publication("news", "x"))
        assert await node.next_note() == {"order": "lost", "groups": ["news"]}
        assert node.status.publications_refused == 1
        (line,) = node.events("broker_publication_refused")
        assert "WRONGTYPE" in line["why"]
        for asked in (node.broker.store(Publication("news", "x")), node.broker.history("news", None, 1)):
            with pytest.raises(BrokerUnavailableError, match="WRONGTYPE"):
                await asked
        assert await ask(node, "GET", key) == b"ours"
        node.join("other")
        await node.settled()
        await store(node, 1, "other")
        assert (await node.next()).group == "other"
        assert node.status.reconnects == 0
        await ask(node, "DEL", key)
        await store(node, 1)
        assert (await node.next()).group == "news"

    async def test_no_memory(self, node: Side) -> None:
        """A server at `maxmemory` refuses, changes nothing, and takes all again when it has some."""
        before = await store(node, 3)
        await node.next_ones(3)
        await ask(node, "CONFIG", "SET", "maxmemory", 1)
        node.broker.publish(Publication("news", "x"))
        assert await node.next_note() == {"order": "lost", "groups": ["news"]}
        with pytest.raises(BrokerUnavailableError, match=r"(?i)maxmemory|OOM"):
            await store(node, 1)
        with pytest.raises(BrokerUnavailableError, match=r"(?i)maxmemory|OOM"):
            await read(node, group="another")
        assert (node.status.publications_refused, node.status.reconnects) == (1, 0)
        history = await read(node)
        assert (len(history.publications), history.newest, history.whole) == (3, before[-1], True)
        await ask(node, "CONFIG", "SET", "maxmemory", 0)
        assert await store(node, 1) == [(4, before[0].epoch)]
        assert (await node.next()).previous == 3

    async def test_not_enough_replicas(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """A server that may not write refuses; what needs no writing goes on."""
        node = await make(urls=[valkey_server("min-replicas-to-write 1").url])
        with pytest.raises(BrokerUnavailableError, match=r"(?i)replicas"):
            await store(node, 1)
        node.join("plain")
        node.broker.publish(Publication("plain", "x"))
        assert (await node.next()).message == "x"

    async def test_a_server_that_becomes_a_replica(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """It takes no writes; the publications wait for the next server, or are told as lost."""
        first, second = valkey_server(), valkey_server()
        node = await make(urls=[first.url, second.url], probe_interval_seconds=0.5)
        link = node.broker._keeper.link
        server, other = (first, second) if link._address.port == first.port else (second, first)
        assert await run(server, "REPLICAOF", "127.0.0.1", str(other.port)) == b"+OK"
        node.broker.publish(Publication("news", "refused"))
        assert await node.next_note() == {"order": "lost", "groups": ["news"]}
        await until(lambda: node.status.reconnects == 1)
        await store(node, 1)
        assert (await node.next()).message == "message 0"


async def run(server: ValkeyServer, *command: str) -> bytes:
    """Send one command to a server, past the gateway; give the answer: its first line, or its text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{' '.join(command)}\r\n".encode())
    answer = await reader.readline()
    if answer.startswith(b"$"):
        answer = await reader.readexactly(int(answer[1:]))
    writer.close()
    await writer.wait_closed()
    return answer.rstrip()


class TestRights:
    """What a user has to be allowed to do."""

    async def test_the_documented_rights_are_enough(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """For everything that history does."""
        guide = (Path(__file__).parents[3] / "deploy" / "README.md").read_text(encoding="utf-8")
        (rights,) = re.findall(r"`user gateway on >SECRET (.*?)`", guide, re.DOTALL)
        server = valkey_server(
            f"user gateway on >secret-7 {' '.join(rights.replace('<prefix>', 'x').split())}"
        )
        node = await make(urls=[server.url], user="gateway", password="secret-7")
        node.join("brief", "short")
        for group in ("brief", "short", "news"):
            await store(node, 8, group)
            await node.broker.store(Publication(group, "x"), idempotency_key="k")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await read(node, group="brief")).floor < 2:
                await store(node, 1, "brief")
                await asyncio.sleep(0.02)
        assert len(texts(await read(node, group="short"))) == 5
        assert node.status.publications_refused == 0

    async def test_a_user_without_them(self, make: MakeSide, valkey_server: MakeServer) -> None:
        """All else works, and history says what is missing."""
        server = valkey_server(
            "user gateway on >secret-7 ~x.claim.* resetchannels &x.* "
            "-@all +publish +subscribe +unsubscribe +set +role"
        )
        node = await make(urls=[server.url], user="gateway", password="secret-7")
        node.broker.publish(Publication("news", "x"))
        assert await node.next_note() == {"order": "lost", "groups": ["news"]}
        for asked in (node.broker.store(Publication("news", "x")), node.broker.history("news", None, 1)):
            with pytest.raises(BrokerUnavailableError, match="does not tell its `run_id`"):
                await asked
        assert await node.broker.claim("key", 1)
        assert node.status.reconnects == 0


def test_what_a_server_leaves_out() -> None:
    """One that hides its run is not trusted with offsets; one that hides the rest may have lost something."""
    history = ValkeyHistory(ValkeyBrokerConfig.model_validate({"type": "valkey", "urls": ["valkey://x"]}))
    policy = HistoryPolicy("*", 1, 1)
    for facts in (b"", b"# Server\r\naof_enabled:1\r\n", b"run_id:\r\n"):
        history.learn(facts)
        with pytest.raises(BrokerUnavailableError):
            history.read("x.group.n", policy, None, 1)
    history.learn(b"# Server\r\nrun_id:" + b"a" * 40 + b"\r\n")
    assert history.read("x.group.n", policy, None, 1)[5:8] == ("a" * 16, "", "")


class TestPlaces:
    """What the script writes in front of a message."""

    def test_a_place(self) -> None:
        """It is taken off, and the rest is left as it is."""
        assert read_place(b"+e-_9 17\n\x01rest\n+x 1\n") == (Place(17, 16, "e-_9"), b"\x01rest\n+x 1\n")
        assert read_place(b"+e 1\n") == (Place(1, 0, "e"), b"")

    @pytest.mark.parametrize(
        "data",
        [b"", b"+", b"\x01x", b"+e 0\n", b"+e 01\n", b"+e -1\n", b"+e 1", b"+ 1\n", b"+e 1\r\n", b"+e e 1\n",
         b"+e 12345678901234567\n", b"+" + b"e" * 65 + b" 1\n", "+é 1\n".encode(), b"+e\xff 1\n"],
    )  # fmt: skip
    def test_no_place(self, data: bytes) -> None:
        """Whatever else is left to the reader of messages, which drops it."""
        assert read_place(data) == (None, data)

    async def test_junk_on_the_channel(self, node: Side) -> None:
        """It is dropped and counted; what says that it is kept, and cannot be read, stands for a lost one."""
        channel = "x.group.nbmV3cw"
        await node.settled()
        for junk in (b"+e 1\njunk", b"+e 1\n", b"+e 0\n\x01", b"+"):
            await ask(node, "PUBLISH", channel, junk)
        await store(node, 1)
        lost = Publication("news", "", None, None, 1, 0, "e", lost=True)
        assert await node.next_ones(2) == [lost, lost]
        assert (await node.next()).offset == 1
        assert sum(node.status.dropped.values()) == 4
        assert node.nothing_more
