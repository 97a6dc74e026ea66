"""Two thousand slow opening handshakes at once; how little others notice is measured in `tests/bench`."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
SLOW = 2000
DRIP_SECONDS = 0.3
CLIENT_HELLO = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"
TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 67\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b'{"error": "timeout", "message": "the request did not come in time"}'
)


class SlowClient(asyncio.Protocol):
    """A client that sends a few bytes, and then one from time to time, until it is cut.

    Args:
        first: What it sends at once.
    """

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.answer = b""
        self.dripped = 0
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        transport.write(self.first)
        self.drip()

    def drip(self) -> None:
        """Send a byte, and another one later."""
        if not self.transport.is_closing():
            asyncio.get_running_loop().call_later(DRIP_SECONDS, self.drip)
            self.transport.write(b"x")
            self.dripped += 1

    def data_received(self, data: bytes) -> None:
        """Keep the answer."""
        self.answer += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it has been cut."""
        if not self.cut.done():
            self.cut.set_result(None)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allow both ends of all clients their descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * SLOW)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_slow_handshakes_are_cut(
    start: Callable,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    until: Callable,
    alive: Callable,
    secure: bool,
    many_files: None,
) -> None:
    """All are cut, whatever they send meanwhile, and a client beside them gets every answer."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 1})
    witness = await ask(server, opening())
    await accepted(witness)
    loop = asyncio.get_running_loop()
    first = CLIENT_HELLO if secure else opening()[:-2] + b"X-Slow: "
    clients: list[SlowClient] = []
    answers = 0
    slow = SLOW // 4 if secure else SLOW  # TLS takes its time on both ends, and is cut the same way

    async def echo() -> None:
        nonlocal answers
        while len(clients) < slow or not all(client.cut.done() for client in clients):
            witness.send(b"\x81\x82\x00\x00\x00\x00hi")
            assert await witness.reader.readexactly(4) == b"\x81\x02hi"
            answers += 1

    echoing = asyncio.create_task(echo())
    for _ in range(slow):
        _, client = await loop.create_connection(lambda: SlowClient(first), "127.0.0.1", server.port)
        clients.append(client)
    async with asyncio.timeout(30):
        await asyncio.gather(*(client.cut for client in clients))
        await echoing
    assert answers > 100
    assert all(client.dripped > 1 for client in clients)
    assert {client.answer for client in clients} == {b"" if secure else TIMEOUT}
    # Where TLS is not established nobody can be told.
    assert server.node.metrics.refusals == ({} if secure else {"timeout": slow})
    await until(lambda: alive("FrontProtocol") == 0)
