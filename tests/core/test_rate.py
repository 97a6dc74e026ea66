"""Tests of rates: what the buckets let pass, and what happens above them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Connection, Handler
from gateway.config.models import RouteLimits
from gateway.core.rate import Rate

YAML = """
routes:
  - path: /t
    handlers: [count]
    allow_missing_origin: true
    limits: {{{limits}}}
"""


class Count(Handler):
    """A handler that answers with the message's length."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Answer."""
        connection.send(str(len(message)))


def test_burst_passes_and_then_the_rate() -> None:
    """One burst passes at once, then one message for each share of a second."""
    rate = Rate(RouteLimits(messages_per_second=10, message_burst=3), 0.0)
    assert [rate.take(1, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.take(1, 0.0) == pytest.approx(0.1)
    assert rate.take(1, 0.1001) == 0.0
    assert rate.take(1, 0.1001) > 0


def test_bytes_are_counted_apart() -> None:
    """A few long messages reach the rate of bytes; one longer than the burst passes alone."""
    rate = Rate(RouteLimits(bytes_per_second=100, byte_burst=100), 0.0)
    assert rate.take(1000, 0.0) == 0.0
    assert rate.take(1, 0.0) > 0
    assert rate.take(1, 9.0) > 0
    assert rate.take(1, 9.2) == 0.0


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 300)), max_size=60))
def test_no_more_than_burst_and_rate_pass(arrivals: list[tuple[float, int]]) -> None:
    """However messages arrive, what passes never exceeds one burst and the rate over the time."""
    rate = Rate(RouteLimits(messages_per_second=5, message_burst=4), 0.0)
    now = 0.0
    passed = 0
    for pause, size in arrivals:
        now += pause
        passed += not rate.take(size, now)
        assert passed <= 4 + 5 * now + 1e-6


@pytest.mark.parametrize("limits", ["messages_per_second: 0.1, message_burst: 5", "bytes_per_second: 5"])
async def test_above_the_rate_is_1008(serve_gateway, open_raw, limits) -> None:
    """A flood is handled up to the burst; then the connection is closed with 1008."""
    server = await serve_gateway(YAML.format(limits=limits), handlers={"count": Count})
    client = await open_raw(server, "/t")
    for _ in range(10):
        client.text("x")
    assert [await client.receive_text() for _ in range(5)] == ["1"] * 5
    assert await client.receive_close() == (1008, "messages come too fast")


async def test_pause_reads_no_faster(serve_gateway, open_raw) -> None:
    """With `pause` every message is handled in order, no faster than the rate, and none is lost."""
    limits = "messages_per_second: 200, message_burst: 2, rate_action: pause, receive_backlog: 4"
    server = await serve_gateway(YAML.format(limits=limits), handlers={"count": Count})
    client = await open_raw(server, "/t")
    loop = asyncio.get_running_loop()
    started = loop.time()
    for index in range(30):
        client.text("x" * index)
    assert [await client.receive_text() for _ in range(30)] == [str(index) for index in range(30)]
    assert loop.time() - started > 28 / 200 * 0.9


async def test_connection_without_a_rate_keeps_no_bucket(serve_gateway, open_raw) -> None:
    """A route without rates calls its handler directly."""
    server = await serve_gateway(YAML.format(limits=""), handlers={"count": Count})
    client = await open_raw(server, "/t")
    client.text("x")
    await client.receive_text()
    (connection,) = server.node.connections()
    assert connection.rate is None
