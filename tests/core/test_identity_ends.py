"""Tests of the end of identities on real connections: on time, once, and whatever the connection is at."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from gateway import Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

SECRET = "a secret of thirty-two bytes, or so"
LEEWAY_SECONDS = 1
SHORT_SECONDS = 1.4
ROUTES = """
listen: {drain_seconds: 0}
authentication:
  jwt:
    leeway_seconds: 1
    issuers:
      - {issuer: i, audience: a, algorithms: [HS256], keys: [{secret: "${SECRET}"}]}
routes:
  - path: /own
    allow_missing_origin: true
    authenticate: [jwt]
    credentials_from: [header, "query:token"]
    handlers: [waiter]
    groups: [all]
    overflow: drop_newest
    limits: {close_timeout_seconds: 0.2}
"""


class Waiter(Handler):
    """A handler that waits when it is told to, and notes every close event."""

    def on_start(self, node: Any) -> None:
        """Begin with nothing heard."""
        self.closes: dict[str, list[tuple[int, str]]] = {}
        self.goes_on = asyncio.Event()
        node.handler = self

    def on_open(self, connection: Any) -> None:
        """Say who this is."""
        connection.send(connection.id)

    async def on_message(self, connection: Any, message: Any) -> None:
        """Wait, or send back."""
        if message == "wait":
            connection.send("waiting")
            await self.goes_on.wait()
        connection.send(message)

    def on_close(self, connection: Any, code: int, reason: str) -> None:
        """Note the end."""
        self.closes.setdefault(connection.id, []).append((code, reason))


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway whose connections end with their tokens."""
    return await serve_gateway(ROUTES, handlers={"waiter": Waiter}, environ={"SECRET": SECRET})


def issue(seconds: float) -> tuple[str, float]:
    """Make a token, and give when its identity ends: `exp` and the leeway."""
    ends = time.time() + seconds
    claims = {"iss": "i", "aud": "a", "sub": "ann", "exp": ends - LEEWAY_SECONDS}
    return jwt.encode(claims, SECRET, "HS256"), ends


async def test_each_ends_with_its_identity(
    server: Served, open_raw: Callable, until: Callable[..., Awaitable[None]]
) -> None:
    """A client that reads, one that does not, and one whose handler waits are all closed, and in time."""
    token, ends = issue(SHORT_SECONDS)
    lasting, _ = issue(300)
    node = server.node
    async with (
        server.connect(f"/own?token={token}") as reads,
        server.connect(f"/own?token={token}") as waits,
        server.connect(f"/own?token={lasting}") as stays,
    ):
        ids = [str(await client.recv()) for client in (reads, waits, stays)]
        await waits.send("wait")
        assert await waits.recv() == "waiting"
        slow = await open_raw(server, f"/own?token={token}", limit=1024)
        sock = slow.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        ids.append(await slow.receive_text())
        slow.writer.transport.pause_reading()
        connection = node.connections()[-1]
        for _ in range(200):
            connection.send(b"x" * 65_000)
        assert connection.queued_bytes > 500_000

        await until(lambda: len(node.hub) == 1)
        assert ends <= time.time() < ends + 2
        assert [connection.id for connection in node.connections()] == [ids[2]]
        await reads.wait_closed()
        await waits.wait_closed()
        for client in (reads, waits):
            assert (client.close_code, client.close_reason) == (4401, "identity expired")
        # The socket of who does not read is gone after the time that a closing handshake has.
        await until(lambda: node.closing == set() or {one.id for one in node.closing} <= {ids[1]})
        closes = node.handler.closes
        assert closes == {ids[0]: [(4401, "identity expired")], ids[3]: [(1006, "")]}
        node.handler.goes_on.set()
        await until(lambda: len(closes) == 3 and not node.closing)
        assert closes[ids[1]] == [(4401, "identity expired")]
        await stays.send("here")
        assert await stays.recv() == "here"
        assert len(node.expiries) == 1
    await until(lambda: len(closes) == 4)
    assert {len(heard) for heard in closes.values()} == {1}
    assert (len(node.expiries), node.metrics.handler_errors) == (0, 0)


async def test_nothing_more_is_heard_or_said(server: Served, open_raw: Callable) -> None:
    """From the close frame on the client gets no publication, and what it sends reaches no handler."""
    token, _ = issue(SHORT_SECONDS)
    client = await open_raw(server, f"/own?token={token}")
    await client.receive_text()
    assert await client.receive_close() == (4401, "identity expired")
    handled = server.node.metrics.messages_in
    assert server.node.publish("all", "secret") == 0
    client.text("still here")
    client.close(4401)
    await client.receive_end()
    assert server.node.metrics.messages_in == handled


async def test_who_leaves_before_is_not_waited_for(
    server: Served, open_raw: Callable, until: Callable[..., Awaitable[None]]
) -> None:
    """Nothing is kept of connections that end before their identities."""
    token, _ = issue(100)
    clients = [await open_raw(server, f"/own?token={token}") for _ in range(20)]
    assert len(server.node.expiries) == 20
    for client in clients[5:]:
        client.abort()
    await until(lambda: len(server.node.hub) == 5)
    assert len(server.node.expiries) == 5
    assert sum(map(len, server.node.expiries._by_second.values())) <= 10
