"""Tests of the tap: what it shows is what the client gets."""

from __future__ import annotations

from io import BytesIO, StringIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from gateway.app.prepare import prepare
from gateway.app.process import Gateway
from gateway.core.tap import Tap
from gateway.observe.logs import make_logger
from gateway.protocol.encoding import encode_close, encode_message, encode_ping

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_in_pieces_is_shown_whole() -> None:
    """Frames of each size are shown once they are whole, control frames not at all, all bytes pass."""
    shown: list[Any] = []
    messages = ["hello", "", b"\x00\xff", "x" * 200, b"y" * 70_000, "你好"]
    data = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n" + b"".join(map(encode_message, messages))
    data += encode_ping(b"12") + encode_close(1000, "bye")
    for size in (1, 7, 100_000):
        written = BytesIO()
        connection: Any = SimpleNamespace(_transport=written)
        Tap(lambda *what: shown.append(what[1:])).begin(connection)
        shown.clear()
        for at in range(0, len(data), size):
            connection._transport.write(memoryview(data)[at : at + size])
        assert shown == [("out", message) for message in messages]
        assert written.getvalue() == data


async def test_compressed_messages_are_shown_as_they_were(tmp_path: Path) -> None:
    """Both ways, over a context that lasts, and with frames that a group shares in between."""
    shown: list[Any] = []
    text = '{"price": 1234567890, "name": "abcdefghijklmnopqrstuvwxyz"}' * 3
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "listen: {port: 0, drain_seconds: 0}\n"
        "routes:\n"
        "  - {path: /echo, allow_missing_origin: true, handlers: [echo], groups: [all],\n"
        "     compression: {min_bytes: 1}}\n"
    )
    tap = Tap(lambda _, *what: shown.append(what))
    gateway = Gateway(prepare(file), make_logger("error", stream=StringIO()), tap=tap)
    await gateway.start()
    try:
        async with connect(f"ws://127.0.0.1:{gateway.port}/echo", proxy=None) as client:
            for _ in range(2):
                await client.send(text)
                assert await client.recv() == text
                gateway.node.publish("all", text)
                assert await client.recv() == text
            await client.send(b"\x00" * 99)
            assert await client.recv() == b"\x00" * 99
            assert client.response is not None
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
    finally:
        await gateway.stop()
    assert shown[0] == ("open", "")
    assert [each for each in shown if each[0] == "in"] == [("in", text), ("in", text), ("in", b"\x00" * 99)]
    assert [each for each in shown if each[0] == "out"] == [("out", text)] * 4 + [("out", b"\x00" * 99)]
