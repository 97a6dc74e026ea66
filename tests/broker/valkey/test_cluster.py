"""Tests of a link to a real cluster: what goes where, and who may use it."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cluster_nodes import groups_of, slot_of
from nodes import PATIENCE_SECONDS, Side, some_history, until
from tcp_proxy import TcpProxy

from gateway.broker.check import check_broker
from gateway.broker.contract import BrokerUnavailableError, Publication
from gateway.broker.link import Keep, LinkError
from gateway.broker.valkey.former import FormerLinks
from gateway.broker.valkey.link import ValkeyLink
from gateway.config import ValkeyBrokerConfig, load_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from valkey_cluster import ClusterServer, ValkeyCluster

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture
def make(side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway."""
    return partial(side, "valkey", prefix=secrets.token_hex(4), history_of=some_history)


async def test_groups_of_every_server_between_nodes(cluster: ValkeyCluster, make: MakeSide) -> None:
    """Each node gets all, once, and of each group in the order of its publisher, wherever it is kept."""
    one, two = [await make(name, urls=[url]) for name, url in zip("ab", cluster.urls, strict=False)]
    kept = groups_of(cluster, one)
    groups = [*kept, "plain"]
    for node in (one, two):
        node.join(*groups)
    for node in (one, two):
        await node.settled()
    for number in range(400):
        one.broker.publish(Publication(groups[number % 4], str(number)))
    for node in (one, two):
        arrived = await node.next_ones(400)
        for index, group in enumerate(groups):
            found = [one for one in arrived if one.group == group]
            assert [int(one.message) for one in found] == list(range(index, 400, 4))
            assert [one.offset for one in found] == (list(range(1, 101)) if group != "plain" else [0] * 100)
        await node.settled()
        assert node.nothing_more
        for group in kept:
            history = await node.broker.history(group, 90, 100)
            assert [one.offset for one in history.publications] == list(range(91, 101))
    first = await one.broker.store(Publication(kept[2], "named"), idempotency_key="k")
    again = await two.broker.store(Publication(kept[2], "named"), idempotency_key="k")
    assert (again.position, first.repeated, again.repeated) == (first.position, False, True)
    lost = (one.status.publications_lost, one.status.publications_unproved, one.status.publications_refused)
    assert (lost, one.status.reconnects) == ((0, 0, 0), 0)


async def test_what_is_not_in_the_answer_arrives(cluster: ValkeyCluster, make: MakeSide) -> None:
    """So may what is in it: it comes by the bus, and is known by its offset."""
    one, two = [await make(name, urls=[url]) for name, url in zip("ab", cluster.urls, strict=False)]
    for number in range(20):
        group = f"news {number}"
        await one.broker.store(Publication(group, "before"))
        two.join(group)
        history = await two.broker.history(group, None, 10)
        assert [found.message for found in history.publications] == ["before"]
        await one.broker.store(Publication(group, "after"))
        while (arrived := await two.next()).offset <= history.newest.offset:
            assert arrived == history.publications[0]
        assert (arrived.group, arrived.message) == (group, "after")
        assert arrived.previous == history.newest.offset


async def test_keys_of_every_server_are_claimed_once(cluster: ValkeyCluster, make: MakeSide) -> None:
    """Whichever of two nodes comes first."""
    nodes = [await make(name, urls=[url]) for name, url in zip("ab", cluster.urls, strict=False)]
    before = [server.ask("DBSIZE") for server in cluster.servers]
    asked = [node.broker.claim(f"key {number}", 60) for number in range(30) for node in nodes]
    assert Counter(await asyncio.gather(*asked)) == {True: 30, False: 30}
    assert all(server.ask("DBSIZE") > count for server, count in zip(cluster.servers, before, strict=True))


async def test_closing_waits_for_every_server(cluster: ValkeyCluster, make: MakeSide) -> None:
    """What was sent before `close` is kept when it returns, wherever that is."""
    node = await make(urls=cluster.urls[:1])
    link, _ = make_links(cluster)
    await link.open()
    policy = some_history("")
    assert policy is not None
    channels = {group: node.broker._channels.of_group(group) for group in groups_of(cluster, node)}
    messages = [Keep(group, channel, b"x" * 100_000, policy) for group, channel in channels.items()] * 20
    kept = Counter[str]()
    await link.keep(messages, lambda message, outcome: kept.update([message.group] * (outcome is None)))
    await link.close()
    assert kept == dict.fromkeys(channels, 20)


async def test_an_abort_leaves_nothing_behind(cluster: ValkeyCluster) -> None:
    """No task, and no connection at any server, while it opens or later."""
    before = asyncio.all_tasks()
    for turns in (*range(0, 60, 3), 1_000_000):
        link, _ = make_links(cluster)
        opening = asyncio.ensure_future(link.open())
        for _ in range(turns):
            if opening.done():
                break
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait({opening})
        link.abort()
        await until(lambda: asyncio.all_tasks() == before)
        with pytest.raises(LinkError):
            await link.keep([], lambda *_: None)
    for server in cluster.servers:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while int(server.facts("INFO", "clients")["connected_clients"]) > 1:  # who asks
                await asyncio.sleep(0.02)


def make_links(cluster: ValkeyCluster) -> list[ValkeyLink]:
    """Make two links of one node, which are not open."""
    config = ValkeyBrokerConfig.model_validate({"type": "valkey", "urls": cluster.urls})
    former = FormerLinks()
    return [ValkeyLink(config, url, lambda *_: None, former) for url in cluster.urls[:2]]


async def test_gateway_check_has_nothing_to_say(cluster: ValkeyCluster, tmp_path: Path) -> None:
    """Every server of a cluster can be a URL."""
    file = tmp_path / "gateway.yaml"
    file.write_text(f"broker: {{type: valkey, urls: {cluster.urls}}}\nroutes: []\n")
    assert await check_broker(load_config(file, {})) == []


async def test_former_connections_end_at_every_server(cluster: ValkeyCluster) -> None:
    """The next link of a node has every server read nothing more of the last one."""
    links = make_links(cluster)
    former = links[0]._former
    await links[0].open()
    numbers = {server: connection_to(server, former) for server in cluster.servers}
    await links[1].open()
    for server, number in numbers.items():
        assert former.at(run_of(server)) != [number]
        assert server.ask("CLIENT", "LIST", "ID", number) == b""
    assert links[0].ended.done()
    assert not links[1].ended.done()
    for link in links:
        link.abort()


def run_of(server: ClusterServer) -> bytes:
    """Give a server's run."""
    return server.facts("INFO", "server")["run_id"].encode()


def connection_to(server: ClusterServer, former: FormerLinks) -> int:
    """Give the number of the one connection to a server, which is there."""
    (number,) = former.at(run_of(server))
    assert server.ask("CLIENT", "LIST", "ID", number) != b""
    return number


class TestWays:
    """TLS, and by which names servers are found."""

    @pytest.fixture
    async def lines(self, cluster: ValkeyCluster, tmp_path: Path) -> Any:
        """A line with TLS to each server, by which the others are found, under the name `localhost`."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        async with AsyncExitStack() as stack:
            lines: list[TcpProxy] = []
            for server in cluster.servers:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                authority.issue_cert("localhost" if lines else "127.0.0.1").configure_cert(context)
                lines.append(await stack.enter_async_context(TcpProxy(server.port, context)))
                server.ask("CONFIG", "SET", "cluster-announce-port", lines[-1].port)
                server.ask("CONFIG", "SET", "cluster-announce-hostname", "localhost")
                server.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
            await self.found_at(cluster, [line.port for line in lines], [b"localhost"] * 3)
            yield lines
            for server in cluster.servers:
                for key, value in (("port", "0"), ("hostname", "")):
                    server.ask("CONFIG", "SET", f"cluster-announce-{key}", value)
                server.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
            await self.found_at(cluster, [one.port for one in cluster.servers], [b"127.0.0.1"] * 3)

    @staticmethod
    async def found_at(cluster: ValkeyCluster, ports: list[int], names: list[bytes]) -> None:
        """Wait until every server knows where they are to be found."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for server in cluster.servers:
                while [(one[2][0], one[2][1]) for one in server.ask("CLUSTER", "SLOTS")] != list(
                    zip(names, ports, strict=True)
                ):
                    await asyncio.sleep(0.05)
        await asyncio.to_thread(cluster.wait)  # who learns of it connects the bus anew

    async def test_tls(
        self, cluster: ValkeyCluster, lines: list[TcpProxy], make: MakeSide, tmp_path: Path
    ) -> None:
        """Each server's certificate is verified, for the name that the cluster gives it."""
        tls = {"ca": tmp_path / "ca.pem"}
        one = await make(urls=[f"valkeys://127.0.0.1:{lines[0].port}"], tls=tls, required=True)
        groups = groups_of(cluster, one)
        one.join(*groups)
        for group in groups:
            await one.broker.store(Publication(group, "x"))
        assert {publication.group for publication in await one.next_ones(3)} == set(groups)
        assert all(line.passing() for line in lines)
        lines[2].swallow()
        two = await make("two", urls=[f"valkeys://127.0.0.1:{lines[0].port}"], tls=tls)
        (line,) = two.events("broker_unreachable")
        assert line["why"] == f"server localhost:{lines[2].port} of the cluster: no connection in 1 seconds"


class TestRights:
    """Users that may not do everything."""

    async def test_the_documented_rights_are_enough(self, cluster: ValkeyCluster, make: MakeSide) -> None:
        """What the operator's guide lists is all that is used."""
        guide = (Path(__file__).parents[3] / "deploy" / "README.md").read_text(encoding="utf-8")
        (rights,) = re.findall(r"`user gateway on >SECRET (.*?)`", guide, re.DOTALL)
        for server in cluster.servers:
            server.ask("ACL", "SETUSER", "gateway", "on", ">s", *rights.replace("<prefix>", "x").split())
            server.ask("ACL", "LOG", "RESET")
        one = await make(urls=cluster.urls[:1], prefix="x", user="gateway", password="s", required=True)
        for group in groups_of(cluster, one):
            await one.broker.store(Publication(group, "x"))
            assert await one.broker.claim(secrets.token_hex(4), 60)
        await one.settled()
        assert one.status.reconnects == 0
        assert [server.ask("ACL", "LOG") for server in cluster.servers] == [[]] * 3

    @pytest.mark.parametrize(("user", "command"), [("curious", "myid"), ("blind", "slots")])
    async def test_who_may_not_ask_for_the_cluster(
        self, cluster: ValkeyCluster, make: MakeSide, user: str, command: str
    ) -> None:
        """Is told what is missing."""
        one = await make(urls=cluster.urls[:1], user=user, password="x")
        (line,) = one.events("broker_unreachable")
        assert line["why"].startswith("the server is one of a cluster, and does not tell of it: ")
        assert f"cluster|{command}" in line["why"]

    async def test_who_may_not_ask_at_all(self, cluster: ValkeyCluster, make: MakeSide) -> None:
        """Groups without history work; what another server has is refused, with a reason."""
        one = await make(urls=cluster.urls[:1], user="careful", password="x")
        one.join("plain")
        await one.settled()
        one.broker.publish(Publication("plain", "x"))
        assert (await one.next()).message == "x"
        refused = []
        for number in range(20):
            try:
                await one.broker.claim(f"key {number}", 60)
            except BrokerUnavailableError as exc:
                refused.append(exc.fact)
        assert set(refused) == {
            "the server is one of a cluster, and does not say so to this user: it needs `+info`"
        }
        assert one.status.reconnects == 0


async def test_a_cluster_that_grows(own_cluster: Callable[..., ValkeyCluster], make: MakeSide) -> None:
    """Without slots it is none; one server with all is as good as any; another shows when it has some."""
    cluster = own_cluster(1)
    (first,) = cluster.servers
    await asyncio.to_thread(first.start)
    one = await make(urls=[first.url], probe_timeout_seconds=1)
    assert [line["why"] for line in one.events("broker_unreachable")] == ["the cluster is down"]
    await asyncio.to_thread(cluster.assign)
    await until(lambda: one.status.connected)
    one.join("news", "other")
    await one.settled()
    await one.broker.store(Publication("news", "first"))
    assert (await one.next()).message == "first"
    second = await asyncio.to_thread(cluster.add_primary)
    links = one.broker._keeper.link
    slot = slot_of(one, "news")
    await asyncio.to_thread(cluster.move, slot, first, second)
    with pytest.raises(BrokerUnavailableError, match="another server of the cluster has the slot"):
        await one.broker.store(Publication("news", "refused"))
    await one.broker.store(Publication("news", "second"))
    assert (await one.next()).message == "second"
    await one.broker.store(Publication("other", "third"))
    assert (await one.next()).message == "third"
    assert one.broker._keeper.link is links
    # What is published at the one that came last is proved too.
    second.hold()
    try:
        await until(lambda: bool(one.events("broker_disconnected")), 20)
    finally:
        second.release()
    assert str(second.port) in one.events("broker_disconnected")[0]["why"]
