"""Tests of the front: what does not come to an end is cut, at one deadline whatever trickles."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
api: {tokens: [{name: test, token: secret}]}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
SOON = {"opening_timeout_seconds": 0.5}
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

tls_only = pytest.mark.parametrize("secure", [True], ids=["tls"])
plain_only = pytest.mark.parametrize("secure", [False], ids=["plain"])


def client_hello() -> bytes:
    """Give the first flight of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_half_a_header(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """A header that stops, wherever it does, is told so, and ended."""
    server = await start(ROUTES, listen=SOON)
    wires = [await ask(server, opening()[:length]) for length in (1, 20, 60, -1)]
    await asyncio.gather(*(refused(server, wire, 408, "timeout") for wire in wires))


async def test_trickled_header(start: Callable, ask: Callable, refused: Callable, opening: Callable) -> None:
    """A header that comes byte by byte is cut at the deadline of its beginning, not of its last byte."""
    server = await start(ROUTES, listen=SOON)

    async def trickle(data: bytes, more: bytes) -> None:
        wire = await ask(server, data)
        await wire.trickle(more)
        await refused(server, wire, 408, "timeout")

    await asyncio.gather(
        trickle(opening()[:-2], b"X-Endless: " + b"x" * 5000),
        trickle(opening()[:-2], b"X: y\r\n" * 800),
        trickle(b"", b"\r\n" * 2500),
    )


async def test_body_that_does_not_come(
    start: Callable, ask: Callable, until: Callable, alive: Callable
) -> None:
    """A body is waited for until one deadline, whatever trickles, and then TCP ends."""
    server = await start(ROUTES)
    timeouts = ("KEEP_ALIVE_TIMEOUT", "RESPONSE_TIMEOUT", "REQUEST_TIMEOUT")
    server.gateway.app.config.update(dict.fromkeys(timeouts, 0.5))

    async def publish(lines: str, body: bytes) -> None:
        fields = f"Host: localhost\r\nAuthorization: Bearer secret\r\n{lines}"
        wire = await ask(server, f"POST /api/publish HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        if body:
            await wire.trickle(body)
        answer = await wire.answer()
        assert (answer.status, answer.json["error"], answer.headers["connection"]) == (
            408,
            "timeout",
            "close",
        )
        assert await wire.cut() == b""

    await asyncio.gather(
        publish("Content-Length: 5000", b""),
        publish("Content-Length: 5000", b" " * 4000),
        publish("Transfer-Encoding: chunked", b"1\r\n \r\n" * 500),
    )
    assert [line for line in server.log if line["level"] == "error"] == []
    await until(lambda: alive("SanicProtocol") == 0)


async def test_rest_of_a_body_that_nobody_waits_for(start: Callable, ask: Callable) -> None:
    """A client that has its answer and sends the rest of its body byte by byte is cut as well."""
    server = await start(ROUTES)
    timeouts = ("KEEP_ALIVE_TIMEOUT", "RESPONSE_TIMEOUT", "REQUEST_TIMEOUT")
    server.gateway.app.config.update(dict.fromkeys(timeouts, 0.5))
    wire = await ask(server, b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n")
    assert (await wire.answer()).status == 404
    await wire.trickle(b" " * 4000)
    assert await wire.cut() == b""


async def test_peer_that_does_not_end_tcp(
    start: Callable, ask: Callable, opening: Callable, until: Callable, pending: Callable
) -> None:
    """After a refusal a client that keeps TCP open, and sends on, is cut."""
    server = await start(ROUTES)
    wire = await ask(server, opening("/nothing") + b"x" * 100_000)
    assert (await wire.answer()).status == 404
    await until(lambda: pending(server) == 0)  # though this end has not been closed
    assert await wire.cut() == b""
    assert server.node.metrics.bytes_in == 0


async def test_peer_that_leaves(
    start: Callable, ask: Callable, opening: Callable, until: Callable, pending: Callable, alive: Callable
) -> None:
    """A client that goes in the middle of its header is forgotten before the deadline."""
    server = await start(ROUTES)
    wire = await ask(server, REQUEST)
    assert (await wire.answer()).status == 200
    wire.send(opening()[:30])
    await until(lambda: pending(server) == 1)
    await wire.close()
    await until(lambda: pending(server) == 0)
    assert server.node.metrics.refusals == {}
    await until(lambda: alive("FrontProtocol") == 0)


async def test_peer_that_shuts_its_side(
    start: Callable, ask: Callable, opening: Callable, until: Callable, pending: Callable, secure: bool
) -> None:
    """A client that has said all it will say, with half a header, is not waited for."""
    server = await start(ROUTES)
    wire = await ask(server, REQUEST)
    assert (await wire.answer()).status == 200
    wire.send(opening()[:30])
    await until(lambda: pending(server) == 1)
    if secure:
        wire.writer.close()
    else:
        wire.writer.write_eof()
    assert await wire.cut() == b""
    await until(lambda: pending(server) == 0)


@plain_only
async def test_peer_that_leaves_at_once(
    start: Callable, dial: Callable, until: Callable, pending: Callable, alive: Callable
) -> None:
    """A client that says nothing and goes is forgotten before the deadline."""
    server = await start(ROUTES)
    wire = await dial(server)
    await until(lambda: pending(server) == 1)
    await wire.close()
    await until(lambda: pending(server) == 0)
    await until(lambda: alive("FrontProtocol") == 0)


@plain_only
async def test_tls_on_the_plain_port(start: Callable, ask: Callable, refused: Callable) -> None:
    """A TLS handshake on the plain port is refused at its first byte."""
    server = await start(ROUTES)
    for data in (client_hello(), client_hello()[:1]):
        wire = await ask(server, data)
        await refused(server, wire, 400, "malformed_request")
    assert server.log[-1]["detail"] == "TLS on the plain port"


@tls_only
async def test_tls_that_is_never_finished(
    start: Callable,
    ask: Callable,
    until: Callable,
    pending: Callable,
    alive: Callable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A TLS handshake that stops is cut at the deadline, wherever it stops."""
    server = await start(ROUTES, listen=SOON)
    hello = client_hello()
    wires = [await ask(server, data, tls=False) for data in (b"", hello[:1], hello[:100], hello)]
    for wire in wires:
        await wire.cut()
        await wire.close()
    await until(lambda: pending(server) == 0)
    await until(lambda: alive("FrontProtocol") == 0)
    assert server.node.metrics.refusals == {}
    assert caplog.text == ""


@tls_only
async def test_trickled_tls(start: Callable, dial: Callable, until: Callable, pending: Callable) -> None:
    """A TLS handshake that comes byte by byte is cut as well."""
    server = await start(ROUTES, listen=SOON)
    wire = await dial(server, tls=False)
    await wire.trickle(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + b"x" * 5000)
    await wire.cut()
    await until(lambda: pending(server) == 0)


@tls_only
async def test_deadline_spans_tls_and_the_header(
    start: Callable, dial: Callable, until: Callable, pending: Callable, client_tls: ssl.SSLContext
) -> None:
    """The deadline runs from accepting TCP: time that TLS takes is not given again to the header."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 60})
    wire = await dial(server, tls=False)
    await until(lambda: pending(server) == 1)
    begun = [
        next(iter(deadlines._items.values())) for deadlines in server.node._deadlines.values() if deadlines
    ]
    await wire.writer.start_tls(client_tls, server_hostname="localhost")
    # An answer on another TCP connection shows that the server has taken note of what came before.
    other = await dial(server)
    other.send(REQUEST)
    assert (await other.answer()).status == 200
    await until(lambda: pending(server) == 1)
    assert begun == [
        next(iter(deadlines._items.values())) for deadlines in server.node._deadlines.values() if deadlines
    ]


@tls_only
@pytest.mark.parametrize(
    "data", [REQUEST, b"\x00" * 100, b"\x16\x03\x01\x00\x05hello"], ids=["http", "zeros", "junk"]
)
async def test_no_tls_on_the_tls_port(
    start: Callable, ask: Callable, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever does not speak TLS on the TLS port is not answered in HTTP, and fills no log."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 1})
    wire = await ask(server, data, tls=False)
    assert b"HTTP" not in await wire.cut()
    assert server.node.metrics.refusals == {}
    assert caplog.text == ""


async def test_silence(
    start: Callable, dial: Callable, opening: Callable, accepted: Callable, until: Callable, pending: Callable
) -> None:
    """Silent TCP connections are told so and ended, and do not keep others from opening meanwhile."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 1})
    silent = await asyncio.gather(*(dial(server) for _ in range(20)))
    wire = await dial(server)
    wire.send(opening())
    await accepted(wire)
    for other in silent:
        answer = await other.answer()
        assert (answer.status, answer.json["error"]) == (408, "timeout")
        assert await other.rest() == b""
        await other.close()
    assert server.node.metrics.refusals == {"timeout": 20}
    await until(lambda: pending(server) == 1)  # the connection's own ping
    assert len(server.node.hub) == 1
