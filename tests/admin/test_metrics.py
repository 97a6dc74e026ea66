"""Tests of `/metrics`: who may read it, and that what happens in a real gateway is counted there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import Handler, Refusal, hookimpl
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientSession

    from gateway.testing import Served

PATIENCE_SECONDS = 30

YAML = """
metrics: {public: true}
listen: {drain_seconds: 0, max_connections: 3}
groups: [{pattern: "vip:*"}]
routes:
  - path: /odd/{room}
    name: odd
    allow_missing_origin: true
    groups: ["room:{room}", "vip:{room}"]
    handlers: [odd]
    limits:
      max_message_bytes: 100
      handler_timeout_seconds: 0.05
      messages_per_second: 1000
      message_burst: 20
  - {path: /calm, name: calm, allow_missing_origin: true, handlers: [odd]}
"""

Figures = dict[tuple[str, ...], float]


class Odd(Handler):
    """A handler that does as it is told."""

    async def on_message(self, connection: Any, message: str) -> None:
        """Do it."""
        word, _, rest = message.partition(" ")
        if word == "raise":
            raise ValueError
        if word == "wait":
            await asyncio.Event().wait()
        if word == "close":
            connection.close(int(rest), "as told")
        if word == "publish":
            connection.publish(rest, "published")
        connection.send(message)


class Fussy:
    """A plugin that refuses who says so, with an error of its own."""

    @hookimpl
    def gateway_admit(self, opening: Any) -> None:
        """Refuse."""
        if opening.request.query:
            raise Refused(Refusal(403, opening.request.query, "no"))


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway whose figures anybody may read."""
    plugins = [SimpleNamespace(gateway_handlers=hookimpl(lambda: {"odd": Odd})), Fussy()]
    plugins[0].gateway_handlers.__name__ = "gateway_handlers"
    return await serve_gateway(YAML, plugins=plugins)


@pytest.fixture
def read(server: Served, http: ClientSession) -> Callable[[], Awaitable[Figures]]:
    """A function that reads the figures: by name and values of the labels, in the order of their names."""

    async def read() -> Figures:
        async with http.get(server.http_url("/metrics")) as response:
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert response.headers["cache-control"] == "no-store"
            text = await response.text()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return read


@pytest.fixture
def until(read: Callable[[], Awaitable[Figures]]) -> Callable[..., Awaitable[Figures]]:
    """A function that reads until a condition holds for the figures."""

    async def until(condition: Callable[[Figures], object]) -> Figures:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(figures := await read()):
                await asyncio.sleep(0.005)
        return figures

    return until


async def test_a_life_is_counted(server: Served, until: Any, read: Any) -> None:
    """Opening, messages, bytes, publications by pattern, and who closed with what."""
    async with server.connect("/odd/a") as client, server.connect("/odd/b") as other:
        figures = await read()
        assert figures["gateway_connections", "odd"] == figures["gateway_worker_connections", "0"] == 2
        for group in ("room:a", "vip:b", "vip:a"):
            await client.send(f"publish {group}")
            await client.recv()
        assert await other.recv() == "published"
        figures = await read()
        assert figures["gateway_publications_total", "room:*"] == 1
        assert figures["gateway_deliveries_total", "room:*"] == 1
        assert figures["gateway_publications_total", "vip:*"] == 2
        assert figures["gateway_messages_total", "in"] == 3
        assert figures["gateway_messages_total", "out"] == 6
        assert figures["gateway_bytes_total", "in"] > 0
        await other.close(4321, "enough")
        await client.send("close 4000")
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
    figures = await until(lambda figures: figures["gateway_connections", "odd"] == 0)
    assert figures["gateway_connections_opened_total", "odd"] == 2
    # Whatever private code a client makes up, there is one label for all.
    assert figures["gateway_connections_closed_total", "client", "4xxx"] == 1
    assert figures["gateway_connections_closed_total", "handler", "4xxx"] == 1
    assert figures["gateway_opening_handshakes_total", "accepted", ""] == 2
    assert figures["gateway_max_connections",] == 3
    assert figures["gateway_broker_up", "0"] == figures["gateway_worker_ready", "0"] == 1
    assert figures["gateway_worker_resident_bytes", "0"] > 10_000_000


async def test_refusals_are_counted(server: Served, read: Any) -> None:
    """By the reasons of the table, one for all that plugins make up, and by the limit that was passed."""
    for path in ("/odd/a?mine", "/odd/a?yours", "/nothing"):
        with pytest.raises(InvalidStatus):
            await server.connect(path)
    async with server.connect("/odd/a"), server.connect("/odd/a"), server.connect("/odd/a"):
        with pytest.raises(InvalidStatus):
            await server.connect("/odd/a")
    figures = await read()
    assert figures["gateway_opening_handshakes_total", "refused", "plugin"] == 2
    assert figures["gateway_opening_handshakes_total", "refused", "not_found"] == 1
    assert figures["gateway_opening_handshakes_total", "refused", "too_many_connections"] == 1
    assert figures["gateway_limits_total", "max_connections"] == 1
    assert not any("mine" in key for key in figures)


async def test_failures_of_handlers_are_counted(server: Served, until: Any) -> None:
    """Errors and timeouts, with plugin and handler; and the limits that messages pass."""
    for message in ("raise", "wait", "x" * 101):
        async with server.connect("/odd/a") as client:
            with contextlib.suppress(ConnectionClosed):
                await client.send(message)
                while True:
                    await client.recv()
    async with server.connect("/odd/a") as client:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                await client.send("")
            while True:
                await client.recv()
    closed = "gateway_connections_closed_total"
    figures = await until(lambda figures: figures.get((closed, "gateway", "1008")))
    name = "gateway_handler_errors_total"
    assert figures[name, "odd", "error", "test-0"] == figures[name, "odd", "timeout", "test-0"] == 1
    assert figures[closed, "gateway", "1011"] == 2
    assert figures[closed, "gateway", "1009"] == 1
    for limit in ("handler_timeout_seconds", "max_message_bytes", "message_rate"):
        assert figures["gateway_limits_total", limit] == 1


async def test_handlers_are_timed(server: Served, until: Any) -> None:
    """Some of the messages are timed, to the end of their waits: a timed one that waited counts its wait."""
    key = ("message", "odd", "test-0")
    async with server.connect("/calm") as client:

        async def chat() -> None:
            while True:
                await client.send("hello")
                await client.recv()

        chatting = asyncio.create_task(chat())
        await until(lambda figures: figures["gateway_handler_seconds_count", *key] >= 2)
        chatting.cancel()
    figures = await until(lambda figures: figures["gateway_loop_lag_seconds_count",] > 2)
    assert 0 < figures["gateway_handler_seconds_sum", *key] < 1
    assert figures["gateway_handler_seconds_count", *key] < figures["gateway_messages_total", "in"]


async def test_a_late_loop_shows(server: Served, until: Any) -> None:
    """A loop that was blocked was late, in the histogram and as the longest of late."""
    import time  # noqa: PLC0415 - only here

    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - to block the loop is the point
    figures = await until(lambda figures: figures["gateway_worker_loop_lag_seconds", "0"] > 0.15)
    late = figures["gateway_loop_lag_seconds_count",] - figures["gateway_loop_lag_seconds_bucket", "0.1"]
    assert late >= 1


async def test_slow_clients_show(server: Served, read: Any, until: Any) -> None:
    """What waits for a client that does not read is there in bytes, and gone with the client."""
    async with server.connect("/odd/a", max_queue=1) as client:
        client.transport.pause_reading()
        (connection,) = server.node.connections()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not server.node.flusher.paused:
                connection.send(b"x" * 60_000)
                await asyncio.sleep(0)
        figures = await read()
        assert figures["gateway_slow_connections",] == 1
        assert figures["gateway_send_queue_bytes",] > 60_000
        client.transport.abort()
    figures = await until(lambda figures: figures["gateway_slow_connections",] == 0)
    assert figures["gateway_send_queue_bytes",] == 0
    assert figures["gateway_connections_closed_total", "network", "1006"] == 1


@pytest.mark.parametrize(
    ("section", "api", "token", "status"),
    [
        ("{}", False, None, 404),
        ("{enabled: false, public: true}", True, "ops-token", 404),
        ("{public: true}", False, None, 200),
        ("{public: true}", True, None, 200),
        ("{}", True, None, 401),
        ("{}", True, "wrong", 401),
        ("{}", True, "ops-token", 200),
    ],
)
async def test_who_may_read(
    serve_gateway: Any, http: Any, section: str, api: bool, token: str | None, status: int
) -> None:
    """Anybody where it is public; else who may call the API; where there is neither, nobody."""
    text = f"metrics: {section}\n" + ("api: {tokens: [{name: ops, token: ops-token}]}\n" if api else "")
    server = await serve_gateway(text)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with http.get(server.http_url("/metrics"), headers=headers) as response:
        body = await response.text()
        assert response.status == status
        assert ("www-authenticate" in response.headers) is (status == 401)
    if status == 401:
        assert json.loads(body)["error"] == "unauthorized"
        assert server.log[-1]["event"] == "api_refused"
    assert ("gateway_info" in body) is (status == 200)


async def test_figures_that_do_not_come(server: Served, http: Any, monkeypatch: Any) -> None:
    """When the other workers' figures do not come in time, there are none: half of them would be wrong."""
    monkeypatch.setattr("gateway.admin.metrics._GATHER_SECONDS", 0.02)

    async def never(_: Any) -> Any:
        await asyncio.Event().wait()

    server.gateway.figures.share = never
    async with http.get(server.http_url("/metrics")) as response:
        assert response.status == 503
        assert (await response.json())["error"] == "figures_unavailable"
