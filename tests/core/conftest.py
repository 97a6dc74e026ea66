"""A raw client: frames as a test wants them, legal or not, and what comes back."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

sys.path.insert(0, str(Path(__file__).parent))

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class RawClient:
    """A client on a TCP connection after a successful opening handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.writer.write(data)

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        """Send a masked frame."""
        self.write(Frame(Opcode(opcode), payload, fin).serialize(mask=True))

    def text(self, text: str) -> None:
        """Send a text message."""
        self.frame(1, text.encode())

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame."""
        self.frame(8, b"" if code is None else struct.pack("!H", code) + reason.encode())

    async def receive(self) -> tuple[int, bytes]:
        """Give the opcode and payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        assert not second & 0x80, "a server masks nothing"
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(length)

    async def receive_text(self) -> str:
        """Give the next message, which must be text."""
        opcode, payload = await self.receive()
        assert opcode == 1, (opcode, payload)
        return payload.decode()

    async def receive_close(self) -> tuple[int | None, str]:
        """Give the code and reason of the close frame that comes next."""
        opcode, payload = await self.receive()
        assert opcode == 8, (opcode, payload)
        return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (None, "")

    async def receive_end(self) -> None:
        """Wait for the end of the TCP connection, with nothing before it."""
        assert await self.reader.read() == b""

    def abort(self) -> None:
        """End TCP with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@pytest.fixture
async def open_raw() -> AsyncIterator[Callable]:
    """Give a function that opens a raw client to a path of a served gateway."""
    async with AsyncExitStack() as stack:

        async def open_client(server: object, path: str, limit: int = 2**20) -> RawClient:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=limit)
            stack.callback(writer.close)
            writer.write(HANDSHAKE.format(path=path).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 "), answer
            return RawClient(reader, writer)

        yield open_client


@pytest.fixture
def until() -> Callable:
    """Give a function that waits for a condition."""

    async def wait(condition: Callable[[], object], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    return wait
