"""Tests of the client: what it waits for, and what it says when that does not come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler
from gateway.testing import NotHeardError, Served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client

    Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Obeying(Handler):
    """A handler that does what messages say."""

    async def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Do it."""
        if message == "close":
            connection.close(4000, "as asked")
        elif message == "wait":
            await asyncio.Event().wait()
        elif message == "flood":
            for _ in range(200):
                await connection.send(bytes(100_000))
            connection.close(4000)
        elif message == "who":
            connection.send(f"{connection.request.headers.get('x-mood')} {connection.subprotocol}")
        elif message != "quiet":
            connection.send(message)


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """The gateway."""
    return await serve_gateway(Obeying, route={"subprotocols": ["v1"]})


@pytest.fixture
async def client(server: Served, gateway_client: Callable[..., Awaitable[Client]]) -> Client:
    """A client of it."""
    return await gateway_client(server)


async def test_messages_are_received_in_order(client: Client) -> None:
    """Text, binary, JSON and fragments go there and back, and are kept."""
    await client.send(["frag", "ments"])
    await client.send(b"\x00")
    assert [await client.receive(), await client.receive()] == ["fragments", b"\x00"]
    assert await client.ask_json({"a": "é"}) == {"a": "é"}
    assert client.received == ["fragments", b"\x00", '{"a": "é"}']


async def test_what_it_connects_with(
    server: Served, gateway_client: Callable[..., Awaitable[Client]]
) -> None:
    """Headers and options of the library reach the gateway, and its answer is at hand."""
    client = await gateway_client(server, headers={"X-Mood": "fine"}, subprotocols=["v1"])
    assert await client.ask("who") == "fine v1"
    assert client.subprotocol == client.headers["Sec-WebSocket-Protocol"] == "v1"


async def test_what_does_not_come_is_told(client: Client) -> None:
    """Silence, something that is no JSON, a message too many and an end each have their words."""
    with pytest.raises(NotHeardError, match=r"expected a message, but none came within 0\.01 seconds"):
        await client.receive(within_seconds=0.01)
    await client.send("hello")
    with pytest.raises(NotHeardError, match=r"expected JSON, but received 'hello'"):
        await client.receive_json()
    with pytest.raises(NotHeardError, match=r"expected a close with 4001, but the connection is open"):
        await client.expect_close(4001, within_seconds=0.01)
    await client.send("x" * 1000)
    with pytest.raises(NotHeardError, match=r"expected no message, but received 'x+… \(1000 in all\)"):
        await client.expect_nothing()
    await client.send("close")
    with pytest.raises(NotHeardError, match=r"the reason 'x', but the connection ended: .*4000.*as asked"):
        await client.expect_close(4000, "x")
    with pytest.raises(NotHeardError, match=r"expected a message, but the connection ended"):
        await client.receive()
    with pytest.raises(NotHeardError, match=r"expected a pong, but the connection ended"):
        await client.expect_nothing()


async def test_nothing_is_seen_without_waiting(client: Client) -> None:
    """A handler that is silent passes at once, and what comes later is received."""
    await client.send("quiet")
    await client.expect_nothing()
    assert await client.ask("hello") == "hello"


async def test_a_close_is_expected(client: Client) -> None:
    """Messages before the close are received, and the close is given."""
    await client.send("one")
    await client.send("close")
    assert await client.expect_close(4000, "as asked") == (4000, "as asked")
    assert client.received == ["one"]


async def test_a_dropped_connection_has_no_close_frame(server: Served, client: Client, until: Until) -> None:
    """A client that drops is gone for the gateway without a closing handshake."""
    client.drop()
    assert (await client.expect_close()).code == 1006
    await until(lambda: not server.node.sockets)


async def test_a_slow_reader_holds_a_stream_up(
    server: Served, gateway_client: Callable[..., Awaitable[Client]]
) -> None:
    """What is sent to a client that does not read stays at the gateway, until it reads on."""
    slow, quick = await gateway_client(server), await gateway_client(server)
    slow.stop_reading()
    for client in (slow, quick):
        await client.send("flood")
    await quick.expect_close(4000)
    assert len(quick.received) == 200
    assert len(server.node.event_tasks) == len(server.node.connections()) == 1
    slow.read_on()
    await slow.expect_close(4000)
    assert slow.received == quick.received


async def test_raw_bytes_are_sent(client: Client) -> None:
    """A frame that breaks the protocol can be sent."""
    client.send_raw(b"\x81\x05hello")
    await client.expect_close(1002)


async def test_a_client_that_never_connected(server: Served) -> None:
    """What needs a connection says that there is none; its end is no error."""
    client: Any = server.client()
    with pytest.raises(RuntimeError, match="await it"):
        client.subprotocol  # noqa: B018 - it raises
    await client.close()
