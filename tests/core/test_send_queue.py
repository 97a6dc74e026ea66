"""Tests of the send queue: what a slow peer costs, and what each policy does for it."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway import Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

YAML = """
listen: {{drain_seconds: 0{tls}}}
routes:
  - path: /t
    handlers: [stream]
    allow_missing_origin: true
    groups: [g, h]
    overflow: {overflow}
    limits: {{send_queue_bytes: {limit}, max_message_bytes: 1000, ping_interval_seconds: 0}}
"""
HANDSHAKE = (
    b"GET /t HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def config(overflow: str = "disconnect", limit: int = 200_000, tls: str = "") -> str:
    """Give a configuration with one route."""
    return YAML.format(overflow=overflow, limit=limit, tls=tls)


class Stream(Handler):
    """A handler that sends a lot, awaiting each piece, when told to."""

    sent: list[int]

    async def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Send so many pieces of 50 kB."""
        for index in range(int(message)):
            await connection.send(struct.pack("!I", index) + bytes(50_000))
            type(self).sent.append(index)


@pytest.fixture
def stream() -> type[Stream]:
    """Give a handler class of this test's own."""
    return type("StreamOfTest", (Stream,), {"sent": []})


async def test_awaiting_a_send_waits_for_the_peer(serve_gateway, open_raw, until, stream) -> None:
    """A handler that awaits its sends never fills the queue, and stalls while the peer does not read."""
    server = await serve_gateway(config(), handlers={"stream": stream})
    client = await open_raw(server, "/t", limit=1000)
    (connection,) = server.node.connections()
    client.text("600")
    await until(lambda: connection._write_paused)
    stalled = len(stream.sent)
    assert connection.queued_bytes < 200_000
    await asyncio.sleep(0.05)
    assert len(stream.sent) == stalled < 600
    for index in range(600):
        _, payload = await client.receive()
        assert struct.unpack("!I", payload[:4])[0] == index
    await until(lambda: len(stream.sent) == 600)
    assert connection._slow is None


async def test_awaiting_a_send_leaves_the_loop_to_others(serve_gateway, open_raw, stream) -> None:
    """Even while the peer reads at once, an awaited send lets other connections be served."""
    server = await serve_gateway(config(), handlers={"stream": stream})
    turns = []

    async def count() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    client = await open_raw(server, "/t")
    counting = asyncio.create_task(count())
    client.text("20")
    for _ in range(20):
        await client.receive()
    counting.cancel()
    assert len(turns) > 20


async def test_awaiting_ends_with_the_connection(serve_gateway, open_raw, until, stream) -> None:
    """A handler that awaits a send goes on when the connection is lost."""
    server = await serve_gateway(config(), handlers={"stream": stream})
    client = await open_raw(server, "/t", limit=1000)
    client.text("300")
    (connection,) = server.node.connections()
    await until(lambda: connection._write_paused)
    client.abort()
    await until(lambda: len(stream.sent) == 300)
    assert not [line for line in server.log if line["level"] == "error"]


@pytest.mark.parametrize("keys", [False, True])
async def test_conflate_keeps_the_newest(serve_gateway, open_raw, until, stream, keys) -> None:
    """At the limit a slow member keeps only the newest of each group or key, in order, after what it had."""
    server = await serve_gateway(config("conflate"), handlers={"stream": stream})
    client = await open_raw(server, "/t", limit=1000)
    (connection,) = server.node.connections()
    count = 400
    for index in range(count):
        for group in ("g", "h"):
            key = str(index % 3) if keys else None
            body = f"{group}{key} {index:06d} ".encode()
            server.node.publish(group, body + bytes(20_000), key=key)
        await asyncio.sleep(0)
        assert connection.queued_bytes < 400_000
    assert server.node.metrics.overflows["conflate"] > 0
    server.node.publish("g", b"gend 0 ", key="end")
    received: dict[str, list[int]] = {}
    while True:
        _, payload = await client.receive()
        name, number, _ = payload.split(b" ", 2)
        if name == b"gend":
            break
        received.setdefault(name.decode(), []).append(int(number))
    names = [f"{group}{key}" for group in "gh" for key in (("0", "1", "2") if keys else ("None",))]
    assert sorted(received) == sorted(names)
    for name, numbers in received.items():
        newest = max(index for index in range(count) if not keys or str(index % 3) == name[1:])
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == newest
        assert len(numbers) < count / (3 if keys else 1)
    # Once the peer reads again, nothing is left out any more.
    for index in range(5):
        server.node.publish("g", f"{index}", key="k")
    assert [await client.receive_text() for _ in range(5)] == ["0", "1", "2", "3", "4"]


async def test_what_was_sent_alone_is_not_conflated(serve_gateway, open_raw, until, stream) -> None:
    """Under `conflate` a queue full of messages to one connection ends it with 1013."""
    server = await serve_gateway(config("conflate"), handlers={"stream": stream})
    await open_raw(server, "/t", limit=1000)
    (connection,) = server.node.connections()
    while connection.is_open:
        connection.send(bytes(50_000))
        await asyncio.sleep(0)
    assert server.node.metrics.closes == {1013: 1}


async def test_small_limit_is_kept(serve_gateway, open_raw, stream) -> None:
    """A limit below the transport's own high-water mark counts as well."""
    server = await serve_gateway(config("drop_newest", limit=5000), handlers={"stream": stream})
    client = await open_raw(server, "/t", limit=1000)
    (connection,) = server.node.connections()
    while not server.node.metrics.overflows:
        server.node.publish("g", bytes(1000))
        await asyncio.sleep(0)
        assert connection._queued_bytes <= 5000
    client.writer.transport.abort()


async def test_fast_reader_gets_a_burst_over_the_limit(serve_gateway, open_raw, stream) -> None:
    """A burst in one turn that the kernel can take is no overflow, however small the limit."""
    server = await serve_gateway(config(limit=10_000), handlers={"stream": stream})
    client = await open_raw(server, "/t")
    (connection,) = server.node.connections()
    for _ in range(100):
        connection.send(bytes(1000))
    for _ in range(100):
        assert len((await client.receive())[1]) == 1000
    assert connection.is_open


@pytest.fixture
def serve_tls(
    serve_gateway, tmp_path: Path, stream
) -> Callable[[int], Awaitable[tuple[Served, ssl.SSLContext]]]:
    """Give a function that serves over TLS with a limit of the send queue, and a context that trusts it."""

    async def serve(limit: int) -> tuple[Served, ssl.SSLContext]:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(tmp_path / "cert.pem"), append=True)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        tls = f", tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}"
        handlers = {"stream": stream}
        return await serve_gateway(config(limit=limit, tls=tls), handlers=handlers), context

    return serve


async def open_and_stall(server: Served, context: ssl.SSLContext) -> tuple[Connection, asyncio.StreamWriter]:
    """Open a connection whose client does not read from then on; give the gateway's side and the client's."""
    reader, writer = await asyncio.open_connection(
        "localhost", server.port, ssl=context, limit=1000, server_hostname="localhost"
    )
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = server.node.connections()
    writer.transport.pause_reading()
    return connection, writer


@pytest.mark.parametrize("size", [20_000, 5_000_000])
async def test_tls_is_bounded_too(serve_tls, size) -> None:
    """Over TLS, whose transport hides what it keeps, a slow peer is closed with 1013 in bounded memory."""
    server, context = await serve_tls(1_000_000)
    connection, writer = await open_and_stall(server, context)
    sent = 0
    while connection.is_open and sent < 100_000_000:
        connection.send(bytes(size))
        sent += size
        await asyncio.sleep(0)
    assert server.node.metrics.closes == {1013: 1}
    # What the kernels on both sides took is not held by the gateway.
    assert sent < 1_000_000 + 2 * size + 20_000_000
    writer.transport.abort()


async def test_what_tls_hides_is_counted(serve_tls) -> None:
    """A message that a peer on TLS does not read is counted as queued, though the transport took it."""
    server, context = await serve_tls(100_000_000)
    connection, writer = await open_and_stall(server, context)
    connection.send(bytes(60_000_000))
    await asyncio.sleep(0)
    # The kernels on both sides take some ten megabytes.
    assert connection.queued_bytes > 30_000_000
    writer.transport.abort()


async def test_large_message_over_tls_arrives_whole(serve_tls) -> None:
    """A message that is written in slices arrives as it was sent, and what follows comes after it."""
    server, context = await serve_tls(30_000_000)
    async with server.connect("/t", ssl=context, max_size=None) as client:
        (connection,) = server.node.connections()
        big = bytes(range(256)) * 40_000
        for _ in range(2):
            connection.send(big)
        connection.send("after")
        assert await client.recv() == big
        assert await client.recv() == big
        assert await client.recv() == "after"
