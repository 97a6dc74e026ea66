"""Tests of compressed messages on real connections: each client gets what it agreed to."""

from __future__ import annotations

import json
import os

import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from gateway import Connection, Handler
from gateway.core.compression import SharedCompression

YAML = """
listen: {drain_seconds: 0}
routes:
  - {path: /plain, handlers: [repeat], allow_missing_origin: true, groups: [g]}
  - path: /shared
    handlers: [repeat]
    allow_missing_origin: true
    groups: [g]
    compression: {min_bytes: 100}
  - path: /kept
    handlers: [repeat]
    allow_missing_origin: true
    groups: [g]
    compression: {min_bytes: 0, server_context_takeover: true, client_context_takeover: true}
"""
TEXT = json.dumps({f"key-{index}": index for index in range(100)})


class Repeat(Handler):
    """A handler that sends each message back."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Send it."""
        connection.send(message)


@pytest.mark.parametrize("path", ["/plain", "/shared", "/kept"])
@pytest.mark.parametrize("server_bits", [None, 9, 15])
@pytest.mark.parametrize("client_bits", [None, 9, 15])
@pytest.mark.parametrize("forget", [False, True])
async def test_messages_come_back(serve_gateway, path, server_bits, client_bits, forget) -> None:
    """Every message comes back whatever was agreed on."""
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits or True,
        server_no_context_takeover=forget,
        client_no_context_takeover=forget,
    )
    server = await serve_gateway(YAML, handlers={"repeat": Repeat})
    async with connect(server.url(path), compression=None, extensions=[offer], proxy=None) as client:
        agreed = "Sec-WebSocket-Extensions" in client.response.headers
        assert agreed == (path != "/plain")
        for message in ("", "short", TEXT, TEXT, b"", os.urandom(3000), bytes(60_000), "é" * 5000):
            await client.send(message)
            assert await client.recv() == message


async def test_one_compression_serves_all_alike(serve_gateway, monkeypatch) -> None:
    """A publication is compressed once for all members with one window size, and not for the others."""
    compressed = []
    encode = SharedCompression.encode

    def counting(self: SharedCompression, message: str | bytes) -> bytes:
        compressed.append(self.window_bits)
        return encode(self, message)

    monkeypatch.setattr(SharedCompression, "encode", counting)
    small = ClientPerMessageDeflateFactory(server_max_window_bits=10)
    server = await serve_gateway(YAML, handlers={"repeat": Repeat})
    async with (
        server.connect("/shared") as one,
        server.connect("/shared") as two,
        connect(server.url("/shared"), compression=None, extensions=[small], proxy=None) as three,
        server.connect("/shared", compression=None) as four,
        server.connect("/plain") as five,
    ):
        assert server.node.publish("g", TEXT) == 5
        assert sorted(compressed) == [10, 15]
        for client in (one, two, three, four, five):
            assert await client.recv() == TEXT
        before = server.node.metrics.bytes_out
        server.node.publish("g", TEXT)
        for client in (one, two, three, four, five):
            assert await client.recv() == TEXT
        sent = server.node.metrics.bytes_out - before
        assert 2 * len(TEXT) < sent < 3.5 * len(TEXT)


async def test_short_messages_are_sent_as_they_are(serve_gateway) -> None:
    """Below `min_bytes` nothing is compressed."""
    server = await serve_gateway(YAML, handlers={"repeat": Repeat})
    async with server.connect("/shared") as client:
        before = server.node.metrics.bytes_out
        await client.send("a" * 99)
        await client.recv()
        assert server.node.metrics.bytes_out - before == 99 + 2
        await client.send("a" * 100)
        await client.recv()
        assert server.node.metrics.bytes_out - before < 99 + 2 + 50


async def test_context_survives_publications(serve_gateway) -> None:
    """Publications between a client's own messages do not disturb the context of either."""
    server = await serve_gateway(YAML, handlers={"repeat": Repeat})
    async with server.connect("/kept") as kept, server.connect("/shared") as shared:
        for index in range(10):
            message = f"{TEXT} {index}"
            await kept.send(message)
            assert await kept.recv() == message
            server.node.publish("g", f"{index} {TEXT}")
            assert await kept.recv() == f"{index} {TEXT}"
            assert await shared.recv() == f"{index} {TEXT}"


async def test_kept_context_makes_alike_messages_short(serve_gateway) -> None:
    """With a context kept, the second of two alike messages costs almost nothing."""
    server = await serve_gateway(YAML, handlers={"repeat": Repeat})
    noise = os.urandom(2000)
    async with server.connect("/kept") as client:
        sizes = []
        for _ in range(2):
            before = server.node.metrics.bytes_out
            await client.send(noise)
            assert await client.recv() == noise
            sizes.append(server.node.metrics.bytes_out - before)
    assert sizes[1] < sizes[0] / 20
