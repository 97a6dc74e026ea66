"""Tests of the gate: how many may connect from where and as whom, and how fast."""

from __future__ import annotations

import asyncio
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
  - path: /small
    handlers: [echo]
    allow_missing_origin: true
    max_connections: 2
"""
KEYED = """
authentication:
  token:
    keys:
      - {name: ada, user: ada, token: token-of-ada}
      - {name: ada too, user: ada, token: another-of-ada}
      - {name: bob, user: bob, token: token-of-bob}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    authenticate: [token]
    max_connections: 5
"""
ADA, BOB = {"authorization": "Bearer token-of-ada"}, {"authorization": "Bearer token-of-bob"}


def refusal(status: str, retry_after: int, body: str) -> bytes:
    """Give the whole answer of a limit."""
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Retry-After: {retry_after}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", body)).encode()


FROM_ADDRESS = refusal(
    "429 Too Many Requests",
    5,
    '{"error": "too_many_connections_from_address",'
    ' "message": "no room for another connection from this address"}',
)
OF_USER = refusal(
    "429 Too Many Requests",
    5,
    '{"error": "too_many_connections_of_user", "message": "no room for another connection of this user"}',
)
ON_ROUTE = refusal(
    "503 Service Unavailable",
    5,
    '{"error": "too_many_connections_on_route", "message": "no room for another connection at this path"}',
)
IN_ALL = refusal(
    "503 Service Unavailable",
    5,
    '{"error": "too_many_connections", "message": "no room for another connection"}',
)
TOO_FAST = refusal(
    "429 Too Many Requests",
    100,
    '{"error": "too_many_requests", "message": "too many requests from this address"}',
)
ALL_TOO_FAST = refusal(
    "503 Service Unavailable",
    100,
    '{"error": "too_many_handshakes", "message": "too many clients connect at once"}',
)


def stop_the_clock(server: Any) -> None:
    """Have no time pass for the rates, so that Retry-After is the same on a slow machine."""
    server.gateway._listener._gate._limits._clock = lambda: 1000.0


class Door:
    """An admission hook that waits until it is told to answer."""

    def __init__(self) -> None:
        self.waiting = 0
        self.answers = asyncio.Event()

    @hookimpl
    async def gateway_admit(self, opening: Any) -> None:
        """Wait."""
        del opening
        self.waiting += 1
        try:
            await self.answers.wait()
        finally:
            self.waiting -= 1


@pytest.fixture
def nothing_held(until: Callable) -> Callable:
    """Give a function that asserts that nothing is counted for anyone any more."""

    async def nothing_held(server: Any) -> None:
        await until(lambda: not server.node.sockets)
        gate = server.gateway._listener._gate
        await until(lambda: not gate._limits._counts)
        assert gate._limits._held == {}
        assert gate.arrivals._groups == {}

    return nothing_held


async def test_connections_per_address(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, nothing_held: Callable
) -> None:
    """An address at its limit is told so, another one is let in, and an end makes room."""
    server = await start(ROUTES, listen={"max_connections_per_address": 2})
    wires = [await ask(server, opening(), local_addr=("127.0.0.2", 0)) for _ in range(2)]
    for wire in wires:
        await accepted(wire)
    wire = await ask(server, opening(), local_addr=("127.0.0.2", 0))
    assert await wire.rest() == FROM_ADDRESS
    assert server.node.metrics.refusals == {"too_many_connections_from_address": 1}
    assert server.log[-1]["remote"] == "127.0.0.2"
    other = await ask(server, opening())
    await accepted(other)
    await wires.pop().close()
    wires.append(await ask(server, opening(), local_addr=("127.0.0.2", 0)))
    await accepted(wires[-1])
    for wire in (*wires, other):
        await wire.close()
    await nothing_held(server)


async def test_connections_per_user(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, nothing_held: Callable
) -> None:
    """A user at the limit is told so, by whichever key, and another user is let in."""
    server = await start(KEYED, listen={"max_connections_per_user": 2})
    wires = [
        await ask(server, opening(authorization=f"Bearer {token}"))
        for token in ("token-of-ada", "another-of-ada")
    ]
    for wire in wires:
        await accepted(wire)
    assert await (await ask(server, opening(**ADA))).rest() == OF_USER
    wires.append(await ask(server, opening(**BOB)))
    await accepted(wires[-1])
    wires[0].send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")  # a closing handshake
    assert await wires[0].rest() == b"\x88\x02\x03\xe8"
    wires.append(await ask(server, opening(**ADA)))
    await accepted(wires[-1])
    for wire in wires:
        await wire.close()
    await nothing_held(server)


async def test_connections_on_a_route(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, nothing_held: Callable
) -> None:
    """A route at its limit is full for everyone, and the others are not."""
    server = await start(ROUTES)
    wires = [await ask(server, opening("/small")) for _ in range(2)]
    for wire in wires:
        await accepted(wire)
    assert await (await ask(server, opening("/small"), local_addr=("127.0.0.2", 0))).rest() == ON_ROUTE
    wires.append(await ask(server, opening("/echo")))
    await accepted(wires[-1])
    await wires[0].close()
    wires.append(await ask(server, opening("/small")))
    await accepted(wires[-1])
    for wire in wires:
        await wire.close()
    await nothing_held(server)


async def test_connections_in_all(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """A full node says so, exactly."""
    server = await start(ROUTES, listen={"max_connections": 1})
    await accepted(await ask(server, opening()))
    assert await (await ask(server, opening())).rest() == IN_ALL


async def test_one_user_many_times_at_once(
    start: Callable, ask: Callable, opening: Callable, until: Callable, nothing_held: Callable
) -> None:
    """Of one user's handshakes whose checks wait together no more open than the user may have."""
    door = Door()
    server = await start(
        KEYED, listen={"max_connections_per_user": 2, "max_connections_per_address": 7}, plugins=[door]
    )
    users = [ADA, ADA, ADA, ADA, BOB, BOB, BOB]
    wires = [await ask(server, opening(**user)) for user in users]
    await until(lambda: door.waiting == len(users))
    door.answers.set()
    answers = [await wire.answer() for wire in wires]
    assert sorted(answer.status for answer in answers) == [101, 101, 101, 101, 429, 429, 429]
    assert server.node.metrics.refusals == {"too_many_connections_of_user": 3}
    for wire in wires:
        await wire.close()
    await nothing_held(server)


@pytest.mark.parametrize("listen", [{"max_connections_per_address": 2}, {}], ids=["address", "route"])
async def test_many_at_once(
    start: Callable,
    ask: Callable,
    opening: Callable,
    until: Callable,
    nothing_held: Callable,
    listen: dict[str, int],
) -> None:
    """The same holds for an address and for a route."""
    door = Door()
    server = await start(ROUTES, listen=listen, plugins=[door])
    wires = [await ask(server, opening("/echo" if listen else "/small")) for _ in range(5)]
    await until(lambda: door.waiting == 5)
    door.answers.set()
    answers = [await wire.answer() for wire in wires]
    assert sorted(answer.status for answer in answers)[:3] == [101, 101, 429 if listen else 503]
    assert server.node.metrics.connections_opened == 2
    for wire in wires:
        await wire.close()
    await nothing_held(server)


async def test_client_that_leaves_while_a_check_waits(
    start: Callable, ask: Callable, opening: Callable, until: Callable, nothing_held: Callable
) -> None:
    """Who goes before the end of the handshake holds no place, and neither does who is refused then."""
    door = Door()
    server = await start(
        KEYED, listen={"max_connections_per_address": 1, "max_connections_per_user": 1}, plugins=[door]
    )
    wire = await ask(server, opening(**ADA))
    await until(lambda: door.waiting == 1)
    await wire.close()
    await until(lambda: door.waiting == 0)
    refused = await ask(server, opening(authorization="Bearer nobody"))
    assert (await refused.answer()).status == 401
    await nothing_held(server)
    door.answers.set()
    assert (await (await ask(server, opening(**ADA))).answer()).status == 101


async def test_full_address_is_not_authenticated(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, plugin: Callable
) -> None:
    """Whoever has no room left is refused before anybody is asked about the credentials."""
    asked: list[str] = []
    server = await start(
        KEYED,
        listen={"max_connections_per_address": 1},
        plugins=[plugin(admit=lambda opening: asked.append(opening.identity.user))],
    )
    await accepted(await ask(server, opening(**ADA)))
    assert await (await ask(server, opening(**BOB))).rest() == FROM_ADDRESS
    assert await (await ask(server, opening())).rest() == FROM_ADDRESS
    assert asked == ["ada"]


async def test_rate_of_an_address(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """An address that knocks too fast is told when to come again; its open connections live on."""
    server = await start(
        ROUTES, listen={"handshakes_per_second_per_address": 0.01, "handshake_burst_per_address": 2}
    )
    stop_the_clock(server)
    wire = await ask(server, opening())
    await accepted(wire)
    await (await ask(server, opening())).close()
    for _ in range(3):
        assert await (await ask(server, opening())).rest() == TOO_FAST
    await accepted(await ask(server, opening(), local_addr=("127.0.0.2", 0)))
    wire.send(b"\x81\x82\x00\x00\x00\x00hi")
    assert await wire.reader.readexactly(4) == b"\x81\x02hi"


async def test_rate_of_all(start: Callable, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """All clients together may knock so fast; what breaks another rule is not counted."""
    server = await start(ROUTES, listen={"handshakes_per_second": 0.01, "handshake_burst": 2})
    stop_the_clock(server)
    for data in (opening(origin="https://example.com"), opening("/nothing"), opening(host=None)):
        assert (await (await ask(server, data)).answer()).status in {400, 403, 404}
    await accepted(await ask(server, opening()))
    await accepted(await ask(server, opening(), local_addr=("127.0.0.2", 0)))
    assert await (await ask(server, opening(), local_addr=("127.0.0.3", 0))).rest() == ALL_TOO_FAST


async def test_plain_http_has_no_such_limits(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """The limits are on connections and their handshakes: a probe is answered by a full node too."""
    server = await start(
        ROUTES, listen={"max_connections": 1, "max_connections_per_address": 1, "handshakes_per_second": 0.1}
    )
    await accepted(await ask(server, opening()))
    for _ in range(5):
        wire = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await wire.answer()).status == 200


async def test_everything_is_given_back(
    start: Callable, dial: Callable, opening: Callable, accepted: Callable, nothing_held: Callable
) -> None:
    """Connections that end in many ways leave no count behind."""
    server = await start(
        KEYED,
        listen={
            "max_connections_per_address": 8,
            "max_connections_per_user": 8,
            "max_handshakes_per_address": 8,
            "handshakes_per_second_per_address": 100_000,
            "handshakes_per_second": 100_000,
        },
    )

    async def visit(number: int) -> None:
        wire = await dial(server)
        if number % 5 == 0:
            wire.send(opening(**ADA)[:30])
        elif number % 5 == 1:
            wire.send(opening(authorization="Bearer nobody"))
            assert (await wire.answer()).status == 401
        else:
            wire.send(opening(**(ADA if number % 2 else BOB)))
            await accepted(wire)
            if number % 5 == 2:
                wire.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
                await wire.rest()
            elif number % 5 == 3:
                wire.send(b"\xff\xff")  # breaks the protocol
        await wire.close()

    async def visit_one_after_another(first: int) -> None:
        for number in range(first, 120, 4):
            await visit(number)

    await asyncio.gather(*(visit_one_after_another(first) for first in range(4)))
    await nothing_held(server)
