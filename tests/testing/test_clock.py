"""Tests of the clock that tests turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Connection, Handler, Identity, Node, Opening, hookimpl
from gateway.testing import TestClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served


class Ticking(Handler):
    """A handler that goes by the clock."""

    def on_start(self, node: Node) -> None:
        """Count minutes."""
        self.minutes = 0
        node.every(60, self._count)

    def _count(self) -> None:
        self.minutes += 1

    async def _say(self, connection: Connection, text: str) -> None:
        await asyncio.sleep(0)
        connection.send(text)

    def on_open(self, connection: Connection) -> None:
        """Say something later, and again and again."""
        connection.after(30, connection.close, 4000, "too long")
        connection.every(10, self._say, connection, "tick")

    async def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Tell the minutes, or wait for ever."""
        if message == "wait":
            await asyncio.Event().wait()
        connection.send(f"{self.minutes} {connection.node.now() - connection.node.started_at:g}")


async def test_timers_follow_it(
    serve_gateway: Callable[..., Awaitable[Served]],
    gateway_client: Callable[..., Awaitable[Client]],
    gateway_clock: TestClock,
) -> None:
    """Timers of connections and of the node fire when the clock is turned, each at its time."""
    server = await serve_gateway(Ticking)
    client = await gateway_client(server)
    assert await client.ask("now") == "0 0"
    await gateway_clock.turn(9.9)
    await client.expect_nothing()
    await gateway_clock.turn(0.1)
    assert await client.receive() == "tick"
    await gateway_clock.turn(1000)
    assert await client.expect_close(4000, "too long")
    assert client.received == ["0 0", "tick", "tick"]
    later = await gateway_client(server)
    assert await later.ask("now") == "16 1010"


async def test_the_deadline_of_an_event_follows_it(
    serve_gateway: Callable[..., Awaitable[Served]],
    gateway_client: Callable[..., Awaitable[Client]],
    gateway_clock: TestClock,
) -> None:
    """A handler that waits too long by the clock is ended."""
    server = await serve_gateway(Ticking, route={"limits": {"handler_timeout_seconds": 20}})
    client = await gateway_client(server)
    await client.send("wait")
    await client.arrive()
    await gateway_clock.turn(19)
    await client.arrive()
    await gateway_clock.turn(2)
    await client.expect_close(1011)
    assert [line["event"] for line in server.errors] == ["handler_timeout"]


async def test_the_end_of_an_identity_follows_it(
    serve_gateway: Callable[..., Awaitable[Served]], gateway_client: Callable[..., Awaitable[Client]]
) -> None:
    """An identity ends when the clock says so."""
    clock = TestClock(now=9_999_999_990)

    class Ending(Authenticator):
        def authenticate(self, opening: Opening) -> Identity:
            return Identity("ada", expires_at=10_000_000_000.0)

    class Own:
        @hookimpl
        def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
            return {"ending": Ending}

    server = await serve_gateway(
        "routes: [{path: /e, allow_missing_origin: true, authenticate: [ending]}]",
        plugins=[Own()],
        clock=clock,
    )
    assert server.node.now() == 9_999_999_990
    client = await gateway_client(server)
    await clock.turn(5)
    await client.expect_nothing()
    await clock.turn(7)
    # The event loop's own timers would look a second after the opening.
    await client.expect_close(4401, within_seconds=0.5)


async def test_calls_are_made_in_order() -> None:
    """Calls are made by their time, those of one time in the order of asking; a cancelled one never."""
    clock = TestClock(now=0)
    made: list[tuple[str, float]] = []

    def note(name: str) -> None:
        made.append((name, clock.now()))
        if name == "first":
            clock.call_later(1, note, "of first")

    clock.call_later(5, note, "third")
    clock.call_later(2, note, "first")
    clock.call_later(3, note, "second")
    clock.call_later(4, note, "never").cancel()
    clock.call_later(5, note, "fourth")
    assert clock.waiting == 4
    await clock.turn(4.5)
    assert made == [("first", 2), ("second", 3), ("of first", 3)]
    assert clock.now() == 4.5
    await clock.turn(0.5)
    assert [name for name, _ in made[3:]] == ["third", "fourth"]
    with pytest.raises(ValueError, match="not turned back"):
        await clock.turn(-1)
