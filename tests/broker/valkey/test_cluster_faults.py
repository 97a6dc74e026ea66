"""Tests of what fails in a real cluster, and of what changes there."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cluster_nodes import groups_of, key_of, slot_of
from nodes import PATIENCE_SECONDS, Side, some_history, until
from tcp_proxy import TcpProxy

from gateway.broker.contract import BrokerUnavailableError, Publication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from valkey_cluster import ClusterServer, ValkeyCluster

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture
def make(side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway."""
    settings = {"prefix": secrets.token_hex(4), "history_of": some_history, "probe_timeout_seconds": 2}
    return partial(side, "valkey", **settings)


def reasons(node: Side) -> list[str]:
    """Give why a node's links have ended."""
    return [line["why"] for line in node.events("broker_disconnected")]


def of(server: ClusterServer) -> str:
    """Give how a server is named in a reason."""
    return f"server 127.0.0.1:{server.port} of the cluster"


async def join(node: Side, groups: Iterable[str]) -> None:
    """Have members in groups, and wait until what is published there arrives."""
    node.join(*groups)
    await node.settled()


async def until_asked(
    server: ClusterServer, command: tuple[str, ...], condition: Callable[[Any], bool]
) -> None:
    """Wait until a server answers so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition(server.ask(*command)):
            await asyncio.sleep(0.02)


class TestBus:
    """The way from server to server."""

    @pytest.fixture
    async def line(self, cluster: ValkeyCluster) -> AsyncIterator[TcpProxy]:
        """The way of the bus to the first server."""
        first = cluster.servers[0]
        async with TcpProxy(first.bus) as line:
            await self.lead(cluster, line.port)
            yield line
            line.mend()
            await self.lead(cluster, first.bus)

    @staticmethod
    async def lead(cluster: ValkeyCluster, port: int) -> None:
        """Have the others connect to the bus of the first server at a port."""
        first, *others = cluster.servers
        before = {number_of(line) for line in incoming(first.ask("CLUSTER", "LINKS"))}
        first.ask("CONFIG", "SET", "cluster-announce-bus-port", port)
        await until_asked(
            first,
            ("CLUSTER", "LINKS"),
            lambda links: len({number_of(line) for line in incoming(links)} - before) == len(others),
        )

    async def test_a_cut(self, cluster: ValkeyCluster, line: TcpProxy, make: MakeSide) -> None:
        """It ends the link of whoever listens behind it, however short it is; what was missed is at hand."""
        one = await make(urls=cluster.urls[:1], probe_interval_seconds=0.1)
        two = await make("two", urls=cluster.urls[1:2])
        group = groups_of(cluster, one)[2]
        await join(one, [group])
        line.break_off()
        await until(lambda: len(reasons(one)) == 1)
        (why,) = reasons(one)
        assert why.endswith("of the cluster: its line of the bus has been interrupted")
        await until(lambda: one.status.reconnects == 1)
        line.swallow()  # of which the servers notice nothing, since what goes the other way is whole
        before = (await two.broker.store(Publication(group, "missed"))).position
        await until(lambda: len(reasons(one)) == 2)
        assert reasons(one)[1] in {
            f"{of(server)}: what it publishes does not arrive in 2 seconds" for server in cluster.servers
        }
        await until(lambda: bool(one.events("broker_unreachable")))
        assert one.events("broker_unreachable")[0]["why"].endswith(
            ": what it publishes does not arrive in 1 seconds"
        )
        line.mend()
        await until(lambda: one.status.reconnects == 2)
        assert (await one.broker.history(group, None, 1)).newest == before
        assert two.status.reconnects == 0


def incoming(links: list[Any]) -> list[dict[bytes, Any]]:
    """Give the lines of the bus that lead to a server."""
    lines = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in links]
    return [line for line in lines if line[b"direction"] == b"from"]


def number_of(line: dict[bytes, Any]) -> tuple[bytes, int]:
    """Tell one line from another."""
    return line[b"node"], line[b"create-time"]


class TestServers:
    """Servers that fail."""

    async def test_one_that_is_held(self, cluster: ValkeyCluster, make: MakeSide) -> None:
        """Its connections live, and its silence ends the link; it is named."""
        one = await make(urls=cluster.urls[:1])
        held = cluster.servers[2]
        held.hold()
        try:
            await until(lambda: len(reasons(one)) == 1)
        finally:
            held.release()
        assert reasons(one) == [f"{of(held)}: no answer to a probe in 2 seconds"]
        await until(lambda: one.status.reconnects == 1)
        assert one.gaps == 1

    async def test_one_that_is_killed(self, cluster: ValkeyCluster, make: MakeSide) -> None:
        """Without a replica nothing goes between nodes until it is back; it is told, and then all goes on."""
        one = await make(urls=cluster.urls[:1])
        groups = groups_of(cluster, one)
        await join(one, groups)
        before = [(await one.broker.store(Publication(group, "before"))).position for group in groups]
        await one.next_ones(3)
        killed = cluster.servers[1]
        await asyncio.to_thread(killed.kill)
        await until(lambda: len(reasons(one)) == 1)
        assert reasons(one)[0].startswith(of(killed))
        with pytest.raises(BrokerUnavailableError):
            await one.broker.store(Publication(groups[0], "refused"))
        for group in groups:
            one.broker.publish(Publication(group, "waits"))
        await asyncio.to_thread(killed.start)
        await until(lambda: one.gaps == 1)
        arrived = {publication.group: publication for publication in await one.next_ones(3)}
        assert [arrived[group].message for group in groups] == ["waits"] * 3
        same = [
            arrived[group].epoch == position.epoch for group, position in zip(groups, before, strict=True)
        ]
        assert same == [True, False, True]
        await asyncio.to_thread(cluster.wait)

    async def test_a_replica_that_takes_over(
        self, own_cluster: Callable[..., ValkeyCluster], make: MakeSide
    ) -> None:
        """While the primary lives, or when it has died: a short outage, another epoch, and all goes on."""
        cluster = own_cluster(2)
        await asyncio.to_thread(cluster.start)
        first, second = cluster.servers
        third = await asyncio.to_thread(cluster.add_replica, second)
        with pytest.raises(BrokerUnavailableError, match="the server is a replica"):
            await make(urls=[third.url], required=True)
        one = await make(urls=[first.url])
        two = await make("two", urls=[second.url, third.url])
        groups = groups_of(cluster, one)
        for node in (one, two):
            await join(node, [*groups, "plain"])
        epochs = await self.store(one, two, groups)

        third.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        await until(lambda: one.status.reconnects > 0 and two.status.reconnects > 0)
        assert reasons(one)[0] == f"{of(second)}: the server is a replica"
        assert reasons(two)[0] == "the server is a replica"
        epochs.append(*await self.store(one, two, groups))

        await until_asked(second, ("INFO",), lambda facts: b"master_link_status:up" in facts)
        await asyncio.to_thread(third.kill)
        await until(lambda: not one.status.connected and not two.status.connected)
        second.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        await until(lambda: one.status.connected and two.status.connected)
        assert one.gaps > 1
        assert two.gaps > 1
        epochs.append(*await self.store(one, two, groups))
        assert len({epoch for epoch, _ in epochs}) == 1
        assert len({epoch for _, epoch in epochs}) == 3

    @staticmethod
    async def store(one: Side, two: Side, groups: list[str]) -> list[tuple[str, str]]:
        """Publish to each group, and see that both nodes get it; give the epochs."""
        await one.settled()
        await two.settled()
        for group in groups:
            await one.broker.store(Publication(group, "x"))
        one.broker.publish(Publication("plain", "x"))
        arrived = {publication.group: publication for publication in await two.next_ones(3)}
        own = {publication.group: publication for publication in await one.next_ones(3)}
        assert set(arrived) == set(own) == {*groups, "plain"}
        assert [own[group] for group in groups] == [arrived[group] for group in groups]
        return [(own[groups[0]].epoch, own[groups[1]].epoch)]


class TestMoving:
    """A slot that goes to another server."""

    @pytest.fixture
    async def pair(self, cluster: ValkeyCluster, make: MakeSide) -> tuple[Side, Side]:
        """Two nodes at different servers."""
        return await make(urls=cluster.urls[:1]), await make("two", urls=cluster.urls[2:])

    async def test_step_by_step(self, cluster: ValkeyCluster, pair: tuple[Side, Side]) -> None:
        """What cannot be kept is refused with a reason, and told; afterwards it goes to the next server."""
        one, two = pair
        source, target = cluster.servers[1:]
        group = groups_of(cluster, one)[1]
        slot = slot_of(one, group)
        for node in pair:
            await join(node, [group])
        link = one.broker._keeper.link
        first = await one.broker.store(Publication(group, "first"))
        cluster.begin_to_move(slot, source, target)
        second = await one.broker.store(Publication(group, "second"))  # as long as its keys are there
        assert second.position == (2, first.position.epoch)
        cluster.move_keys(source, target, [key_of(one, group)])
        on_its_way = "the slot is on its way to another server of the cluster"
        for asked in (one.broker.store(Publication(group, "x")), one.broker.history(group, None, 1)):
            with pytest.raises(BrokerUnavailableError, match=on_its_way):
                await asked
        cluster.move_keys(source, target, source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000))
        one.broker.publish(Publication(group, "refused"))
        assert await one.next_note() == {"order": "lost", "groups": [group]}
        assert [line["why"] for line in one.events("broker_publication_refused")] == [on_its_way]
        cluster.end_to_move(slot, source, target)
        with pytest.raises(BrokerUnavailableError, match="another server of the cluster has the slot"):
            await one.broker.store(Publication(group, "refused too"))
        third = await one.broker.store(Publication(group, "third"))
        assert third.position.epoch != first.position.epoch
        # Who only asks is not refused.
        history = await two.broker.history(group, None, 10)
        assert history.newest == third.position
        assert [publication.message for publication in await two.next_ones(2)] == ["first", "second"]
        assert [one.message for one in history.publications if not one.lost] == ["third"]
        assert one.broker._keeper.link is link
        cluster.move(slot, target, source)
        assert await two.broker.claim(secrets.token_hex(4), 60)

    async def test_claims(self, cluster: ValkeyCluster, pair: tuple[Side, Side]) -> None:
        """They hold over the move, and whoever asks at the former server is sent on to the next one."""
        one, two = pair
        assert await one.broker.claim("ticket", 60)
        pattern = f"{one.broker._config.prefix}.claim.*"
        (key,) = (key.decode() for server in cluster.servers for key in server.ask("KEYS", pattern))
        source = cluster.of(key)
        target = next(server for server in cluster.servers if server is not source)
        cluster.move(cluster.slot(key), source, target)
        assert [await node.broker.claim("ticket", 60) for node in (two, one)] == [False, False]
        cluster.move(cluster.slot(key), target, source)

    async def test_while_both_publish(self, cluster: ValkeyCluster, pair: tuple[Side, Side]) -> None:
        """Each of them gets the same in the same order, its own in theirs, and what is missing is told."""
        source, target = cluster.servers[1:]
        group = groups_of(cluster, pair[0])[1]
        slot = slot_of(pair[0], group)
        for node in pair:
            await join(node, [group])
        moved = asyncio.ensure_future(asyncio.to_thread(cluster.move, slot, source, target))
        sent = 0
        while not moved.done() or sent % 100:
            for number, node in enumerate(pair):
                node.broker.publish(Publication(group, f"{number} {sent}"))
            sent += 1
            await asyncio.sleep(0.001)
        await moved
        lists = []
        for number, node in enumerate(pair):
            await node.broker.store(Publication(group, f"{number} {sent}"))
        for node in pair:
            lists.append([])
            while len({one.message for one in lists[-1]} & {f"0 {sent}", f"1 {sent}"}) < 2:
                lists[-1].append(await node.next())
        assert [one for one in lists[0] if not one.lost] == [one for one in lists[1] if not one.lost]
        for number, node in enumerate(pair):
            own = [one.message.split() for one in lists[number] if not one.lost]
            numbers = [int(second) for first, second in own if first == str(number)]
            assert numbers == sorted(set(numbers))
            assert sent + 1 - len(numbers) == node.status.publications_refused
            assert node.status.publications_unproved == node.status.publications_lost == 0
            if node.status.publications_refused:
                assert await node.next_note() == {"order": "lost", "groups": [group]}
        assert {node.status.reconnects for node in pair} == {0}
        cluster.move(slot, target, source)

    async def test_a_former_server_that_does_not_know_yet(
        self, cluster: ValkeyCluster, make: MakeSide
    ) -> None:
        """What it has been sent stays before what the next one keeps."""
        patience = {"probe_timeout_seconds": 8, "connect_timeout_seconds": 8}
        one = await make(urls=cluster.urls[:1], **patience)
        home, source, target = cluster.servers
        other, group, _ = groups_of(cluster, one)
        slots = slot_of(one, other), slot_of(one, group)
        await join(one, [group])
        under_way = one.broker._backlog._under_way
        source.hold()
        try:
            one.broker.publish(Publication(group, "first"))
            await until(lambda: len(under_way) == 1)
            for server in (target, home):
                server.ask("CLUSTER", "SETSLOT", slots[1], "NODE", target.name)
            cluster.move(slots[0], home, target)
            one.broker.publish(Publication(other, "refused"))  # by which the node learns of the change
            await until(lambda: one.status.publications_refused == 1)
            one.broker.publish(Publication(group, "second"))
            await until(lambda: not one.broker._backlog._waiting)
            await one.settled()
            assert key_of(one, group).encode() not in target.ask("KEYS", "*")
        finally:
            source.release()
        await until(lambda: not under_way)
        await one.settled()
        arrived = [one.message async for one in self.all_that_came(one)]
        assert [message for message in arrived if message] == ["first", "second"]
        assert one.status.reconnects == 0
        await asyncio.to_thread(cluster.wait)
        cluster.move(slots[0], target, home)
        cluster.move(slots[1], target, source)

    @staticmethod
    async def all_that_came(node: Side) -> AsyncIterator[Publication]:
        """Give the publications so far."""
        while not node._publications.empty():
            yield await node.next()
