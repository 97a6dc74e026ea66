"""Tests of TCP connections whose request is not decided yet: how many there may be."""

from __future__ import annotations

import asyncio
import gc
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from gateway import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 79\r\n"
    b"Cache-Control: no-store\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b'{"error": "too_many_handshakes", "message": "too many clients connect at once"}'
)
TOO_MANY_FROM_ONE = (
    b"HTTP/1.1 429 Too Many Requests\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 80\r\n"
    b"Cache-Control: no-store\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b'{"error": "too_many_requests", "message": "too many requests from this address"}'
)
OTHER = {"local_addr": ("127.0.0.2", 0)}
plain_only = pytest.mark.parametrize("secure", [False], ids=["plain"])
tls_only = pytest.mark.parametrize("secure", [True], ids=["tls"])


@pytest.fixture
def under_way() -> Callable[[Any], int]:
    """Give a function that counts the TCP connections whose request is not decided."""
    return lambda server: len(server.gateway._listener._gate.arrivals._under_way)


@pytest.fixture
def knock(dial: Callable) -> Callable:
    """Give a function that opens TCP and says nothing, not even in TLS."""

    async def knock(server: Any, **options: Any) -> Any:
        return await dial(server, tls=False, **options)

    return knock


@pytest.mark.parametrize(
    ("listen", "refused"),
    [
        ({"max_handshakes": 2}, TOO_MANY),
        ({"max_handshakes_per_address": 2}, TOO_MANY_FROM_ONE),
    ],
    ids=["all", "address"],
)
async def test_too_many(
    start: Callable,
    knock: Callable,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    until: Callable,
    under_way: Callable,
    secure: bool,
    listen: dict[str, int],
    refused: bytes,
) -> None:
    """One too many is ended before it says a word, and before TLS; who leaves makes room."""
    server = await start(ROUTES, listen=listen)
    open_already = await ask(server, opening())
    await accepted(open_already)
    silent = [await knock(server) for _ in range(2)]
    await until(lambda: under_way(server) == 2)
    for _ in range(3):
        wire = await knock(server)
        assert await wire.rest() == (b"" if secure else refused)
    await until(lambda: under_way(server) == 2)
    open_already.send(b"\x81\x82\x00\x00\x00\x00hi")
    assert await open_already.reader.readexactly(4) == b"\x81\x02hi"
    await silent.pop().close()
    await until(lambda: under_way(server) == 1)
    await accepted(await ask(server, opening()))


async def test_one_address_does_not_keep_others_out(
    start: Callable,
    knock: Callable,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    until: Callable,
    under_way: Callable,
    secure: bool,
) -> None:
    """Where they are counted by address too, another one has places of its own."""
    server = await start(ROUTES, listen={"max_handshakes_per_address": 2})
    for _ in range(2):
        await knock(server)
    await until(lambda: under_way(server) == 2)
    assert await (await knock(server)).rest() == (b"" if secure else TOO_MANY_FROM_ONE)
    await accepted(await ask(server, opening(), **OTHER))


async def test_trusted_proxy_comes_for_many(
    start: Callable, knock: Callable, until: Callable, under_way: Callable
) -> None:
    """A trusted proxy may have any number under way, as far as there is room for all."""
    listen = {"max_handshakes_per_address": 2, "max_handshakes": 6, "trusted_proxies": ["127.0.0.1"]}
    server = await start(ROUTES, listen=listen)
    for _ in range(5):
        await knock(server)
    await until(lambda: under_way(server) == 5)
    for _ in range(2):
        await knock(server, **OTHER)
    await until(lambda: server.node.metrics.refusals == {"too_many_handshakes": 1})


async def test_decided_ones_do_not_count(
    start: Callable, dial: Callable, ask: Callable, opening: Callable, accepted: Callable, under_way: Callable
) -> None:
    """Open connections, plain HTTP between two requests, and refused clients that linger have no place."""
    server = await start(ROUTES, listen={"max_handshakes": 1, "max_handshakes_per_address": 1})
    for _ in range(3):
        await accepted(await ask(server, opening()))
        assert (await (await ask(server, REQUEST)).answer()).status == 200
        assert (await (await ask(server, opening("/nothing"))).answer()).status == 404
        assert under_way(server) == 0


async def test_next_request_counts_again(
    start: Callable, ask: Callable, knock: Callable, until: Callable, under_way: Callable
) -> None:
    """A request that begins on a TCP connection which has served others is under way like the first."""
    server = await start(ROUTES, listen={"max_handshakes": 2})
    wires = [await ask(server, REQUEST) for _ in range(4)]
    for wire in wires:
        await wire.answer()
    for wire in wires[:2]:
        wire.send(REQUEST[:10])
    await until(lambda: under_way(server) == 2)
    wires[2].send(REQUEST[:10])
    assert await wires[2].rest() == TOO_MANY
    await (await knock(server)).rest()
    wires[0].send(REQUEST[10:])
    assert (await wires[0].answer()).status == 200
    wires[3].send(REQUEST)
    assert (await wires[3].answer()).status == 200


async def test_check_that_waits_counts(
    start: Callable, ask: Callable, opening: Callable, until: Callable, under_way: Callable, knock: Callable
) -> None:
    """A handshake is under way until it is decided, though its request has been read."""

    class Door:
        waiting = 0
        answers = asyncio.Event()

        @hookimpl
        async def gateway_admit(self, opening: Any) -> None:
            del opening
            self.waiting += 1
            await self.answers.wait()

    door = Door()
    server = await start(ROUTES, listen={"max_handshakes": 2}, plugins=[door])
    wires = [await ask(server, opening()) for _ in range(2)]
    await until(lambda: door.waiting == 2)
    await (await knock(server)).rest()
    assert server.node.metrics.refusals == {"too_many_handshakes": 1}
    door.answers.set()
    assert [(await wire.answer()).status for wire in wires] == [101, 101]
    await until(lambda: under_way(server) == 0)


async def test_log_is_not_flooded(
    start: Callable, knock: Callable, until: Callable, under_way: Callable
) -> None:
    """Those that are turned away are logged by their number, once a second, and all are counted."""
    server = await start(ROUTES, listen={"max_handshakes": 1})
    await knock(server)
    await until(lambda: under_way(server) == 1)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(50):
        await (await knock(server)).rest()
    lines = [line for line in server.log if line["event"] == "openings_turned_away"]
    assert 1 <= len(lines) <= loop.time() - begun + 1
    assert (lines[0]["level"], lines[0]["too_many_handshakes"]) == ("warning", 1)
    assert server.node.metrics.refusals == {"too_many_handshakes": 50}
    assert "opening_refused" not in str(server.log)


@tls_only
async def test_tls_that_fails_makes_room_at_once(
    start: Callable, knock: Callable, until: Callable, under_way: Callable, alive: Callable
) -> None:
    """A TLS handshake that fails, or whose client goes, is under way no more, long before its deadline."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 3600})
    for data in (b"", b"\x16\x03\x01", b"junk that is no TLS at all", REQUEST):
        wire = await knock(server)
        await until(lambda: under_way(server) == 1)
        wire.send(data)
        await wire.close()
        await until(lambda: under_way(server) == 0)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await knock(server, ssl=ssl.create_default_context(), server_hostname="localhost")
    await until(lambda: under_way(server) == 0)
    await until(lambda: alive("FrontProtocol") == 0)


@tls_only
async def test_many_tls_handshakes_at_once(
    start: Callable,
    dial: Callable,
    opening: Callable,
    accepted: Callable,
    under_way: Callable,
    until: Callable,
) -> None:
    """TLS handshakes that begin in one turn of the loop all come to their end."""
    server = await start(ROUTES)
    wires = await asyncio.gather(*(dial(server) for _ in range(50)))
    for wire in wires:
        wire.send(opening())
    await asyncio.gather(*(accepted(wire) for wire in wires))
    await until(lambda: under_way(server) == 0)


@tls_only
async def test_stop_in_the_middle_of_tls(
    serving: Callable, start: Callable, knock: Callable, until: Callable, under_way: Callable
) -> None:
    """A stop ends TCP connections on which TLS is not established."""
    del start
    async with serving(ROUTES) as server:
        wires = [await knock(server) for _ in range(3)]
        wires[0].send(b"\x16\x03\x01")
        await until(lambda: under_way(server) == 3)
    for wire in wires:
        assert await wire.cut() == b""


@tls_only
async def test_request_that_comes_with_the_end_of_tls(
    start: Callable, knock: Callable, opening: Callable, client_tls: ssl.SSLContext
) -> None:
    """A client that sends its request with the last bytes of TLS's handshake is heard."""
    server = await start(ROUTES)
    wire = await knock(server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")

    async def hear(step: Callable[[], Any]) -> Any:
        async with asyncio.timeout(15):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    wire.send(outgoing.read())
                    incoming.write(await wire.reader.read(65536))

    await hear(client.do_handshake)
    client.write(opening())
    wire.send(outgoing.read())
    assert (await hear(lambda: client.read(65536))).startswith(b"HTTP/1.1 101 ")


@tls_only
async def test_unfinished_tls_is_free_at_once(start: Callable, knock: Callable, until: Callable) -> None:
    """What a handshake held that is cut at its deadline does not wait for the next collection."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.2})
    gc.collect()
    former = {id(item) for item in gc.get_objects() if isinstance(item, ssl.SSLObject)}

    def kept(item: object) -> bool:
        return type(item).__name__ == "FrontProtocol" or (
            isinstance(item, ssl.SSLObject) and id(item) not in former
        )

    gc.disable()
    try:
        wires = [await knock(server) for _ in range(3)]
        wires[1].send(b"\x16\x03\x01")
        for wire in wires:
            assert await wire.cut() == b""
        await until(lambda: not any(map(kept, gc.get_objects())))
    finally:
        gc.enable()
