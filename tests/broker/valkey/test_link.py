"""Tests of a link to a real Valkey server: what the contract leaves to the engine, and how it is opened."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from nodes import PATIENCE_SECONDS, Side, some_history, until
from slow_node import learn_of_a_gap
from tcp_proxy import TcpProxy

from gateway.broker.check import check_broker
from gateway.broker.contract import BrokerUnavailableError, Publication
from gateway.broker.link import LinkError
from gateway.broker.valkey.connection import ValkeyConnection
from gateway.broker.valkey.link import ValkeyLink
from gateway.config import ValkeyBrokerConfig, load_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nodes import Servers
    from valkey_server import ValkeyServer

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., ValkeyServer]
    Messages = list[tuple[str, bytes]]


CAREFUL = "user careful on nopass ~* &* +@all -info -cluster"


def make_link(server: ValkeyServer, arrived: Messages) -> ValkeyLink:
    """Make a link that is not open."""
    config = ValkeyBrokerConfig.model_validate({"type": "valkey", "urls": [server.url]})
    return ValkeyLink(config, server.url, lambda channel, data, _: arrived.append((channel, data)))


@pytest.fixture
async def link(servers: Servers) -> Any:
    """An open link to the server that tests share, and what it has handed over."""
    arrived: Messages = []
    link = make_link(servers.valkey, arrived)
    await link.open()
    yield link, arrived
    link.abort()


async def test_a_flood_arrives_whole_and_in_order(link: tuple[ValkeyLink, Messages]) -> None:
    """Sending waits for the socket, receiving leaves nothing out, large and small messages alike."""
    (one, arrived), channel = link, f"test.{secrets.token_hex(4)}"
    await one.subscribe([channel, channel])
    sizes = [0, 1, 100, 40_000, 200_000]
    for number in range(200):
        await one.send([(channel, b"%06d" % number + b"\r\n" * sizes[number % len(sizes)])] * 2)
    await until(lambda: len(arrived) == 400)
    assert {found for found, _ in arrived} == {channel}
    assert [int(data[:6]) for _, data in arrived] == [number // 2 for number in range(400)]
    assert all(len(data) == 6 + 2 * sizes[int(data[:6]) % len(sizes)] for _, data in arrived)


async def test_subscriptions_hold_before_anything_is_sent(link: tuple[ValkeyLink, Messages]) -> None:
    """Two connections have no order between them: `subscribe` waits; what is left comes no more."""
    (one, arrived), name = link, secrets.token_hex(4)
    channels = [f"{name}.{number}" for number in range(2500)]
    await one.subscribe(channels)
    await one.send([(channel, b"1") for channel in channels])
    await until(lambda: len(arrived) == 2500)
    await one.unsubscribe([*channels[1:], channels[1], f"{name}.never"])
    await one.subscribe([channels[0]])
    await one.send([(channels[1], b"2"), (channels[0], b"2")])
    await until(lambda: len(arrived) > 2500)
    assert arrived[2500:] == [(channels[0], b"2")]


async def test_closing_lets_everything_go_first(servers: Servers, link: tuple[ValkeyLink, Messages]) -> None:
    """What was sent before `close` has reached the server when it returns."""
    (receiver, arrived), channel = link, f"test.{secrets.token_hex(4)}"
    await receiver.subscribe([channel])
    sender = make_link(servers.valkey, [])
    await sender.open()
    await sender.send([(channel, b"x" * 500_000)] * 10)
    await sender.close()
    await until(lambda: len(arrived) == 10)


async def test_an_abort_leaves_nothing_behind(valkey_server: MakeServer) -> None:
    """No task, though a server that is held answers neither a claim nor a subscription."""
    server = valkey_server()
    before = asyncio.all_tasks()
    make_link(server, []).abort()
    link = make_link(server, [])
    await link.open()
    link.abort()
    await until(lambda: asyncio.all_tasks() == before)
    link = make_link(server, [])
    await link.open()
    server.hold()
    waiting = [
        asyncio.ensure_future(coroutine)
        for coroutine in (
            link.claim("key", 1), link.subscribe(["a"]), link.send([("a", b"x" * 1_000_000)] * 50)
        )
    ]  # fmt: skip
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert not done
    link.abort()
    link.abort()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_SECONDS)
    assert all(isinstance(result, Exception) for result in results)
    await until(lambda: asyncio.all_tasks() == before)
    with pytest.raises(LinkError):
        await link.send([("a", b"x")])


@pytest.mark.parametrize("end", ["kill", "end"])
async def test_the_end_of_the_server_is_told(valkey_server: MakeServer, end: str) -> None:
    """At once, however it ends, and the link does not connect again by itself."""
    server = valkey_server()
    link = make_link(server, [])
    await link.open()
    await asyncio.to_thread(getattr(server, end))
    assert isinstance(await asyncio.wait_for(asyncio.shield(link.ended), PATIENCE_SECONDS), Exception)
    await asyncio.to_thread(server.start)
    with pytest.raises(LinkError):
        await link.send([("a", b"x")])
    link.abort()


async def test_a_node_that_is_too_slow_learns_of_its_gap(valkey_server: MakeServer, side: MakeSide) -> None:
    """The server cuts off who does not read: what is missing then is told, and nothing else is missing."""
    server = valkey_server("client-output-buffer-limit pubsub 1mb 1mb 1")
    # Valkey 9 does not count the content of longer messages.
    settings = {"urls": [server.url], "prefix": "x", "max_message_bytes": 12_000}
    one, two = [await side("valkey", name, **settings) for name in ("one", "two")]
    transport = two.broker._keeper.link._listening._writer.transport

    def was_cut_off() -> bool:
        return "overcoming of output buffer limits" in server.log.read_text()

    await learn_of_a_gap(one, two, transport, 10_000, was_cut_off)


async def test_a_replica_is_passed_over(valkey_server: MakeServer, side: MakeSide) -> None:
    """What is published at one stays there: none is used, and one that turns into one is left."""
    first, second = valkey_server(), valkey_server()
    replica = valkey_server(f"replicaof 127.0.0.1 {first.port}")
    one = await side("valkey", urls=[replica.url, first.url])
    assert one.events("broker_connected")[0]["server"] == first.url.removeprefix("valkey://")
    link = one.broker._keeper.link
    await link._ask(("REPLICAOF", "127.0.0.1", second.port))
    await until(lambda: bool(one.events("broker_disconnected")))
    assert one.events("broker_disconnected")[0]["why"] == "the server is a replica"


class TestCluster:
    """Servers of Valkey Cluster, each of which keeps some of the keys."""

    @pytest.fixture
    def servers(self, valkey_server: MakeServer) -> list[ValkeyServer]:
        """Two servers that may be a cluster, each alone so far."""
        made = []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                bus = free.getsockname()[1]
            made.append(valkey_server("cluster-enabled yes", f"cluster-port {bus}", CAREFUL))
        return made

    @staticmethod
    async def ask(server: ValkeyServer, *command: str | int) -> Any:
        """Ask a server something."""
        connection = ValkeyConnection(
            ValkeyBrokerConfig.model_validate({"type": "valkey", "urls": [server.url]}), server.url, None
        )
        await connection.open()
        try:
            await connection.write([command])
            return await connection.read()
        finally:
            connection.abort()

    async def join(self, servers: list[ValkeyServer]) -> None:
        """Make them one cluster, with half of the keys each."""
        first, second = servers
        bus = (await self.ask(second, "CONFIG", "GET", "cluster-port"))[1].decode()
        await self.ask(first, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        await self.ask(second, "CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        await self.ask(second, "CONFIG", "SET", "cluster-announce-bus-port", bus)
        await self.ask(first, "CLUSTER", "MEET", "127.0.0.1", second.port, bus)
        for server in servers:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while b"cluster_size:2" not in await self.ask(server, "CLUSTER", "INFO"):
                    await asyncio.sleep(0.02)

    async def test_it_is_refused(self, servers: list[ValkeyServer], side: MakeSide, tmp_path: Path) -> None:
        """The log says what is wrong, and so does `gateway check --online`."""
        await self.join(servers)
        one = await side("valkey", urls=[servers[0].url])
        text = "the server is one of a valkey cluster, which the gateway does not support"
        assert [line["why"] for line in one.events("broker_unreachable")] == [text]
        file = tmp_path / "gateway.yaml"
        file.write_text(f"broker: {{type: valkey, urls: ['{servers[1].url}']}}\nroutes: []\n")
        (problem,) = await check_broker(load_config(file, {}))
        assert str(problem).endswith(f"broker cannot be reached: {text}")

    async def test_one_that_has_all_keys_is_as_good_as_any(
        self, servers: list[ValkeyServer], side: MakeSide
    ) -> None:
        """As services offer it: a cluster of one."""
        await self.ask(servers[0], "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"cluster_state:ok" not in await self.ask(servers[0], "CLUSTER", "INFO"):
                await asyncio.sleep(0.02)
        one = await side("valkey", urls=[servers[0].url], history_of=some_history)
        one.join("news")
        await one.broker.store(Publication("news", "x"))
        assert (await one.next()).message == "x"
        assert await one.broker.claim("key", 60)

    async def test_where_the_user_may_not_ask(self, servers: list[ValkeyServer], side: MakeSide) -> None:
        """What the other server keeps is refused, with the same words."""
        await self.join(servers)
        options = {"urls": [servers[0].url], "user": "careful", "password": "x"}
        one = await side("valkey", history_of=some_history, **options)
        assert one.status.connected
        link = one.broker._keeper.link
        link._history.learn(b"run_id:x\r\n")
        refused = []
        for number in range(20):
            try:
                await one.broker.store(Publication(f"news-{number}", "x"))
            except BrokerUnavailableError as exc:
                refused.append(exc.fact)
        assert set(refused) == {"the server is one of a valkey cluster, which the gateway does not support"}


class TestOpening:
    """Credentials and TLS."""

    async def test_a_password_alone(self, valkey_server: MakeServer, side: MakeSide) -> None:
        """It is the default user's; a wrong one, or none, is refused, and is not told."""
        url = valkey_server("requirepass secret-7").url
        one = await side("valkey", urls=[url], password="secret-7", required=True)
        assert one.status.connected
        for wrong in ({}, {"password": "hush"}, {"user": "hush", "password": "secret-7"}):
            with pytest.raises(BrokerUnavailableError) as caught:
                await side("valkey", urls=[url], required=True, **wrong)
            assert "hush" not in str(caught.value)

    async def test_the_documented_rights_are_enough(self, valkey_server: MakeServer, side: MakeSide) -> None:
        """What the operator's guide lists is all that is used, by tickets too; less ends the connection."""
        guide = (Path(__file__).parents[3] / "deploy" / "README.md").read_text(encoding="utf-8")
        (rights,) = re.findall(r"`user gateway on >SECRET (.*?)`", guide, re.DOTALL)
        user = {"user": "gateway", "password": "secret-7"}
        server = valkey_server(
            f"user gateway on >secret-7 {' '.join(rights.replace('<prefix>', 'x').split())}"
        )
        one = await side("valkey", urls=[server.url], prefix="x", **user)
        one.join("news")
        one.broker.publish(Publication("news", "x"))
        assert [await one.broker.claim("key", 60) for _ in range(2)] == [True, False]
        await one.settled()
        assert one.gaps == 0
        stranger = await side("valkey", urls=[server.url], prefix="y", **user)
        assert "permission" in stranger.events("broker_unreachable")[0]["why"]

    async def test_tls(self, servers: Servers, side: MakeSide, tmp_path: Path) -> None:
        """The server's certificate is verified; to one without TLS nothing is said."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        tls = {"ca": tmp_path / "ca.pem"}
        async with TcpProxy(servers.valkey.port, context) as line:  # the wheel's server has no TLS
            urls = [f"valkeys://127.0.0.1:{line.port}"]
            one = await side("valkey", urls=urls, tls=tls, required=True)
            await one.settled()
            with pytest.raises(BrokerUnavailableError, match="certificate"):
                await side("valkey", urls=urls, required=True)
        with pytest.raises(BrokerUnavailableError):
            await side(
                "valkey", urls=[servers.valkey.url], tls=tls, required=True, connect_timeout_seconds=0.3
            )


async def test_a_refused_claim_is_neither_yes_nor_no(valkey_server: MakeServer, side: MakeSide) -> None:
    """A server that takes no writes now, as without its replicas, grants none; all else works."""
    server = valkey_server("min-replicas-to-write 1")
    one = await side("valkey", urls=[server.url])
    with pytest.raises(BrokerUnavailableError, match="no answer: ResponseError"):
        await one.broker.claim("key", 60)
    assert one.status.connected
