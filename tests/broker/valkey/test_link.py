"""Tests of a link to a real Valkey server: what the contract leaves to the engine, and how it is opened."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from nodes import PATIENCE_SECONDS, Side, until
from slow_node import learn_of_a_gap
from tcp_proxy import TcpProxy

from gateway.broker.contract import BrokerUnavailableError, Publication
from gateway.broker.link import LinkError
from gateway.broker.valkey.link import ValkeyLink
from gateway.config import ValkeyBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nodes import Servers
    from valkey_server import ValkeyServer

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., ValkeyServer]
    Messages = list[tuple[str, bytes]]


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
    await link._primary.ask(("REPLICAOF", "127.0.0.1", second.port))
    await until(lambda: bool(one.events("broker_disconnected")))
    assert one.events("broker_disconnected")[0]["why"] == "the server is a replica"


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
    with pytest.raises(BrokerUnavailableError, match=r"(?i)the server says .*replicas"):
        await one.broker.claim("key", 60)
    assert one.status.connected
