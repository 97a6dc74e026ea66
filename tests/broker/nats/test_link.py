"""Tests of a link to a real NATS server: what the contract leaves to the engine, and the seam to nats-py."""

from __future__ import annotations

import asyncio
import gc
import secrets
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nodes import PATIENCE_SECONDS, Side, until
from slow_node import learn_of_a_gap

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError, Publication
from gateway.broker.nats.link import NatsLink
from gateway.config import NatsBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats_server import NatsServer
    from nodes import Servers

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., NatsServer]


class Arrived:
    """What a link has handed over."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def take(self, channel: str, data: bytes) -> None:
        """Take a message."""
        self.messages.append((channel, data))


def make_link(server: NatsServer, arrived: Arrived, **settings: Any) -> NatsLink:
    """Make a link that is not open."""
    config = NatsBrokerConfig.model_validate({"type": "nats", "urls": [server.url], **settings})
    return NatsLink(config, server.url, "test", arrived.take)


@pytest.fixture
async def link(servers: Servers) -> Any:
    """An open link to the server that tests share, and what it has handed over."""
    arrived = Arrived()
    link = make_link(servers.nats, arrived)
    await link.open()
    yield link, arrived
    link.abort()


async def test_a_flood_arrives_whole_and_in_order(link: tuple[NatsLink, Arrived]) -> None:
    """Sending waits for the socket, receiving leaves nothing out, large and small messages alike."""
    (one, arrived), channel = link, f"test.{secrets.token_hex(4)}"
    await one.subscribe([channel, channel])
    sizes = [0, 1, 100, 40_000, 200_000]
    for number in range(200):
        await one.send([(channel, b"%06d" % number + b"x" * sizes[number % len(sizes)])] * 2)
    await until(lambda: len(arrived.messages) == 400)
    assert {found for found, _ in arrived.messages} == {channel}
    assert [int(data[:6]) for _, data in arrived.messages] == [number // 2 for number in range(400)]
    assert all(len(data) == 6 + sizes[int(data[:6]) % len(sizes)] for _, data in arrived.messages)


async def test_what_is_left_comes_no_more(link: tuple[NatsLink, Arrived]) -> None:
    """Leaving twice, or what was never asked for, is harmless, and asking again works."""
    (one, arrived), name = link, secrets.token_hex(4)
    await one.subscribe([f"{name}.a", f"{name}.b"])
    await one.unsubscribe([f"{name}.a", f"{name}.a", f"{name}.c"])
    await one.send([(f"{name}.a", b"1"), (f"{name}.b", b"2")])
    await one.subscribe([f"{name}.a"])
    await one.send([(f"{name}.a", b"3")])
    await until(lambda: len(arrived.messages) == 2)
    assert arrived.messages == [(f"{name}.b", b"2"), (f"{name}.a", b"3")]


async def test_a_subscription_is_small(link: tuple[NatsLink, Arrived]) -> None:
    """It has neither a task nor a queue, and leaves nothing behind."""
    one, _ = link
    tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
    await one.subscribe([f"small.{number}" for number in range(1000)])
    assert len(asyncio.all_tasks()) == tasks
    assert len(gc.get_objects()) - objects < 1000
    await one.unsubscribe([f"small.{number}" for number in range(1000)])
    assert (one._client._sids, one._client._subjects) == ({}, {})


async def test_closing_lets_everything_go_first(servers: Servers) -> None:
    """What was sent before `close` has reached the server when it returns."""
    arrived = Arrived()
    channel = f"test.{secrets.token_hex(4)}"
    receiver, sender = make_link(servers.nats, arrived), make_link(servers.nats, Arrived())
    await receiver.open()
    await sender.open()
    await receiver.subscribe([channel])
    await receiver._client.flush()
    await sender.send([(channel, b"x" * 500_000)] * 10)
    await sender.close()
    await until(lambda: len(arrived.messages) == 10)
    receiver.abort()


async def test_closing_waits_for_the_server(nats_server: MakeServer) -> None:
    """What lies in the socket has not reached it: only its answer says so."""
    server = nats_server()
    link = make_link(server, Arrived())
    await link.open()
    server.hold()
    await link.send([("test.x", b"x")])
    closing = asyncio.ensure_future(link.close())
    done, _ = await asyncio.wait({closing}, timeout=0.1)
    assert not done
    server.release()
    await asyncio.wait_for(closing, PATIENCE_SECONDS)


async def test_an_abort_leaves_nothing_behind(servers: Servers) -> None:
    """No task, whatever was under way: also for a link that was never opened, and a second time."""
    before = asyncio.all_tasks()
    link = make_link(servers.nats, Arrived())
    link.abort()
    link = make_link(servers.nats, Arrived())
    await link.open()
    await link.claim(secrets.token_hex(8), 1)
    await link.send([("test.nobody", b"x" * 1_000_000)])
    link.abort()
    link.abort()
    await until(lambda: asyncio.all_tasks() == before)
    assert link.ended.done()


async def test_a_held_server_does_not_hold_the_end(nats_server: MakeServer) -> None:
    """Sending waits, since nobody reads; the abort does not."""
    server = nats_server()
    before = asyncio.all_tasks()
    link = make_link(server, Arrived())
    await link.open()
    server.hold()
    sending = asyncio.ensure_future(link.send([("test.x", b"x" * 1_000_000)] * 50))
    done, _ = await asyncio.wait({sending}, timeout=0.2)
    assert not done
    link.abort()
    await asyncio.wait_for(asyncio.gather(sending, return_exceptions=True), PATIENCE_SECONDS)
    await until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("end", ["kill", "end"])
async def test_the_end_of_the_server_is_told(nats_server: MakeServer, end: str) -> None:
    """At once, however it ends, and the link does not connect again by itself."""
    server = nats_server()
    link = make_link(server, Arrived())
    await link.open()
    await asyncio.to_thread(getattr(server, end))
    reason = await asyncio.wait_for(asyncio.shield(link.ended), PATIENCE_SECONDS)
    assert isinstance(reason, Exception)
    assert not link._client.is_reconnecting
    link.abort()


@pytest.mark.parametrize("right", ["publish", "subscribe"])
async def test_a_right_that_is_missing_ends_the_link(
    nats_server: MakeServer, side: MakeSide, right: str
) -> None:
    """A subscription that the server does not grant would lose publications in silence."""
    other = {"publish": "subscribe", "subscribe": "publish"}[right]
    server = nats_server(
        "authorization: {users: [{user: u, password: p, permissions: "
        f"{{{right}: {{allow: '>', deny: '*.group.*'}}, {other}: '>'}}}}]}}"
    )
    one = await side("nats", urls=[server.url], user="u", password="p")
    assert one.status.connected
    one.join("news")
    one.broker.publish(Publication("news", "x"))
    await until(lambda: bool(one.events("broker_disconnected")))
    assert "permissions violation" in one.events("broker_disconnected")[0]["why"]


async def test_a_node_that_is_too_slow_learns_of_its_gap(nats_server: MakeServer, side: MakeSide) -> None:
    """The server cuts off who does not read: what is missing then is told, and nothing else is missing."""
    server = nats_server("max_payload: 500000\nmax_pending: 1000000\nwrite_deadline: '0.3s'")
    one, two = [await side("nats", name, urls=[server.url], prefix="x") for name in ("one", "two")]
    transport = two.broker._keeper.link._client._transport._io_writer.transport
    await learn_of_a_gap(one, two, transport, 100_000, lambda: "Slow Consumer" in server.log.read_text())


async def test_the_servers_limit_holds(nats_server: MakeServer, side: MakeSide) -> None:
    """A publication that the server would not take fails, instead of ending the connection."""
    one = await side("nats", urls=[nats_server("max_payload: 2000").url])
    with pytest.raises(MessageTooBigError, match="limit 2000"):
        one.broker.publish(Publication("news", "x" * 2000))
    for number in range(500):
        one.broker.publish(Publication("news", f"{number:0100}"))
    await one.settled()
    assert one.status.reconnects == 0


class TestClaims:
    """Keys that are good once need JetStream."""

    async def test_a_server_without_jetstream(self, nats_server: MakeServer, side: MakeSide) -> None:
        """Everything else works, and a claim says what is missing."""
        one = await side("nats", urls=[nats_server().url])
        for _ in range(2):
            with pytest.raises(BrokerUnavailableError, match="the nats server has no jetstream"):
                await one.broker.claim("key", 1)
        assert one.status.connected

    async def test_a_bucket_that_keeps_everything_is_not_used(self, servers: Servers, side: MakeSide) -> None:
        """An old server, or an old bucket, would hold keys for ever."""
        prefix = secrets.token_hex(4)
        client = await nats.connect(servers.nats.url)
        await client.jetstream().add_stream(
            name=f"KV_{prefix}_claims", subjects=[f"$KV.{prefix}_claims.>"], max_msgs_per_subject=1
        )
        await client.close()
        one = await side("nats", prefix=prefix)
        with pytest.raises(BrokerUnavailableError, match="ends no single entries"):
            await one.broker.claim("key", 1)

    async def test_a_bucket_of_the_operators_is_used(self, servers: Servers, side: MakeSide) -> None:
        """As one with copies on several servers; and when it is gone, it is made anew."""
        prefix = secrets.token_hex(4)
        client = await nats.connect(servers.nats.url)
        bucket = f"{prefix}_claims"
        await client.jetstream().create_key_value(bucket=bucket, description="ours")
        one = await side("nats", prefix=prefix)
        assert await one.broker.claim("key", 60)
        status = await (await client.jetstream().key_value(bucket)).status()
        assert (status.stream_info.config.description, status.values) == ("ours", 1)
        await client.jetstream().delete_key_value(bucket)
        with pytest.raises(BrokerUnavailableError):
            await one.broker.claim("key", 60)
        assert await one.broker.claim("key", 60)
        await client.close()

    async def test_claims_outlive_the_server(self, nats_server: MakeServer, side: MakeSide) -> None:
        """A server that has its folder again knows what was claimed."""
        server = nats_server(jetstream=True)
        one = await side("nats", urls=[server.url])
        assert await one.broker.claim("key", 60)
        await asyncio.to_thread(server.kill)
        await until(lambda: not one.status.connected)
        with pytest.raises(BrokerUnavailableError, match="not connected"):
            await one.broker.claim("key", 60)
        await asyncio.to_thread(server.start)
        await until(lambda: one.gaps == 1)
        assert not await one.broker.claim("key", 60)
