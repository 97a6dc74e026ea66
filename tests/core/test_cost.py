"""Tests of what a message costs, counted in calls and bytes, so that no load on the machine decides them.

The numbers are those of today: whoever makes the way of a message longer sees it here, and not first in a
benchmark. Time is measured in tests/bench.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from websockets.frames import Frame, Opcode

from gateway import Connection, Handler, Identity, Node
from gateway.broker.memory import MemoryBroker
from gateway.config.models import RouteConfig
from gateway.core.dispatch import Dispatch
from gateway.core.route import Route
from gateway.core.socket_connection import SocketConnection
from gateway.observe.logs import make_logger
from gateway.protocol.origin import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"GET /t HTTP/1.1\r\nHost: gateway.example.com\r\nUser-Agent: test"
IN_FLIGHT = 16
MEMBERS = 100


class Echo(Handler):
    """A handler that sends each message back."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Send it back."""
        connection.send(message)


class Transport:
    """A transport that takes everything and keeps nothing."""

    def write(self, data: bytes) -> None:
        """Take it."""

    def is_reading(self) -> bool:
        """Say yes."""
        return True


TRANSPORT = Transport()


class Calls:
    """The calls that are made within a `with`: of functions in Python, and of those in C."""

    def __enter__(self) -> Counter[str]:
        self.count: Counter[str] = Counter()
        sys.setprofile(self._note)
        return self.count

    def _note(self, frame: Any, event: str, argument: Any) -> None:
        del frame
        if argument is not sys.setprofile:
            self.count[event] += 1

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def make_route(**options: Any) -> Route:
    """Give a route as it ships, with limits and pings on."""
    config = RouteConfig.model_validate({"path": "/t", "allow_missing_origin": True, **options})
    return Route(config, Dispatch([("echo", Echo(None))]), OriginPolicy.from_config(None, missing=True), ())


def make_connection(node: Node, route: Route, **arguments: Any) -> SocketConnection:
    """Give an open connection."""
    made: dict[str, Any] = {
        "transport": TRANSPORT,
        "head": HEAD,
        "params": {},
        "remote": "",
        "identity": None,
        "subprotocol": None,
    }
    connection = SocketConnection(node=node, route=route, **{**made, **arguments})
    connection.open(b"HTTP")
    return connection


@pytest.fixture
async def node() -> Node:
    """Give a started node."""
    node = Node(MemoryBroker(), make_logger("error"))
    await node.start()
    return node


async def test_calls_of_an_echo(node: Node) -> None:
    """A message that comes with others is read, handled and sent in two calls of Python and ten of C."""
    connection = make_connection(node, make_route())
    await asyncio.sleep(0)
    frame = Frame(Opcode.TEXT, b"x" * 64, True).serialize(mask=True)
    connection.data_received(frame * 2)
    node.flusher._flush_all()
    counts = []
    for number in (IN_FLIGHT, 2 * IN_FLIGHT):
        with Calls() as calls:
            connection.data_received(frame * number)
            node.flusher._flush_all()
        counts.append(calls)
    more = counts[1] - counts[0]
    assert more["call"] == 2 * IN_FLIGHT
    assert more["c_call"] <= 10 * IN_FLIGHT
    # What one read costs, whether with one message or many: reader, flush, write.
    assert counts[0]["call"] - 2 * IN_FLIGHT <= 9


async def test_calls_of_an_echo_that_comes_alone(node: Node) -> None:
    """A message that comes alone is read, handled, sent and written in nine calls of Python, and few of C."""
    connection = make_connection(node, make_route())
    await asyncio.sleep(0)
    frame = Frame(Opcode.TEXT, b"x" * 64, True).serialize(mask=True)
    with Calls() as calls:
        connection.data_received(frame)
        node.flusher._flush_all()
    assert (calls["call"] <= 10, calls["c_call"] <= 16) == (True, True), calls


async def test_calls_of_a_publication(node: Node) -> None:
    """A publication calls no Python function for a member; the next one of the turn calls nothing at all."""
    route = make_route(groups=["g"])
    members = [make_connection(node, route) for _ in range(MEMBERS)]
    await asyncio.sleep(0)
    node.publish("g", "warm")
    node.flusher._flush_all()
    with Calls() as first:
        node.publish("g", "first")
    with Calls() as second:
        node.publish("g", "second")
    with Calls() as flush:
        node.flusher._flush_all()
    assert len(members) == MEMBERS
    assert (first["call"] <= 15, first["c_call"] <= MEMBERS + 16) == (True, True), first
    assert (second["call"] <= 12, second["c_call"] <= 15) == (True, True), second
    # This transport's `write` is a function in Python; one for each member is all there is.
    assert flush["call"] <= MEMBERS + 2
    assert flush["c_call"] <= 3 * MEMBERS + 8


async def test_bytes_of_an_idle_connection(node: Node) -> None:
    """An idle connection in two groups, with an identity, takes at most 700 bytes beside its transport.

    One that has had messages takes 36 bytes more for each way: it has counted them.
    """
    route = make_route(groups=["g", "h"])
    identity = Identity("ada")

    def open_some(number: int) -> list[SocketConnection]:
        # What differs from one connection to the next is made anew, as the gate does.
        return [
            make_connection(
                node,
                route,
                identity=identity,
                remote=f"10.0.0.{index % 256}",
                head=bytes(bytearray(HEAD)),
            )
            for index in range(number)
        ]

    kept = open_some(500)
    frame = Frame(Opcode.TEXT, b"x" * 64, True).serialize(mask=True)
    big = Frame(Opcode.BINARY, bytes(60_000), True).serialize(mask=True)
    parts = (frame[:9], frame[9:], big[:1000], big[1000:])
    await asyncio.sleep(0)
    gc.collect()
    tracemalloc.start()
    try:
        kept += open_some(1000)
        await asyncio.sleep(0)
        gc.collect()
        silent, _ = tracemalloc.get_traced_memory()
        # Each has had a message since, in two parts and with a big one behind it, and is idle again.
        for connection in kept[500:]:
            for part in parts:
                connection.data_received(part)
        await asyncio.sleep(0)
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 1500
    assert silent / 1000 <= 700
    assert (traced - silent) / 1000 <= 2 * 40


@pytest.fixture(autouse=True)
def no_collection() -> Callable[[], None]:
    """Keep the garbage collector, whose callbacks would be counted, from running within a test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
