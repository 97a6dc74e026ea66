"""Clients of groups with history, over several gateways and through the faults of their broker."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from nodes import LINKED, until
from tcp_proxy import TcpProxy
from websockets.exceptions import ConnectionClosed

from gateway import BrokerUnavailableError
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from gateway.broker.contract import Publication

    Start = Callable[..., Awaitable[Served]]

CONFIGURATION = """
listen: {{drain_seconds: 0}}
resume: {{key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk}}
broker:
  {{type: {kind}, urls: ["{url}"], prefix: {prefix}, probe_interval_seconds: 0.05,
   probe_timeout_seconds: 0.5, max_message_bytes: {most_bytes}}}
routes:
  - {{path: /room, handlers: [echo], allow_missing_origin: true, envelope: json, groups: [room, plain]}}
  - {{path: /bare, handlers: [echo], allow_missing_origin: true, groups: [room, plain]}}
  - {{path: /other, handlers: [echo], allow_missing_origin: true, groups: [plain]}}
groups:
  - {{pattern: "room*", history: {{size: 20, seconds: 60}}}}
"""


@pytest.fixture(params=LINKED)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return request.param


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Any:
    """A server of the test's own, whose data survive it."""
    if kind == "nats":
        return request.getfixturevalue("nats_server")(jetstream=True)
    return request.getfixturevalue("valkey_server")("appendonly yes", "appendfsync always")


@pytest.fixture
async def start(tmp_path: Path, kind: str, server: Any) -> AsyncIterator[Start]:
    """A function that serves a gateway on the server, or on another way to it, until the test ends."""
    prefix = f"test-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:

        async def start(url: str | None = None, most_bytes: int = 100_000) -> Served:
            folder = tmp_path / f"gateway-{secrets.token_hex(4)}"
            folder.mkdir()
            text = CONFIGURATION.format(
                kind=kind, url=url or server.url, prefix=prefix, most_bytes=most_bytes
            )
            return await stack.enter_async_context(serve(folder, text))

        yield start


async def envelope(client: ClientConnection) -> dict[str, Any]:
    """Give the next envelope."""
    async with asyncio.timeout(10):
        value = json.loads(await client.recv())
    assert isinstance(value, dict)
    return value


async def data(client: ClientConnection, number: int) -> list[str]:
    """Give the messages of so many envelopes; others, such as gaps, are passed over."""
    found: list[str] = []
    while len(found) < number:
        one = await envelope(client)
        if "data" in one:
            found.append(one["data"])
    return found


async def publish(served: Served, *texts: str) -> None:
    """Publish texts to the room, and wait until they are kept."""
    for text in texts:
        await served.node.publish_confirmed("room", text)


async def test_on_another_gateway(start: Start) -> None:
    """A token of one gateway is good on another, where publications have the same places."""
    one, two = await start(), await start()
    async with one.connect("/room") as client:
        token = (await envelope(client))["resume"]
        await publish(two, "seen")
        first = await envelope(client)
    await publish(one, "missed 1")
    await publish(two, "missed 2")
    async with two.connect(f"/room?resume={quote(first['resume'])}") as client:
        assert (await envelope(client))["recovered"] is True
        second, third = await envelope(client), await envelope(client)
        assert [second["data"], third["data"]] == ["missed 1", "missed 2"]
        assert second["previous"] == first["offset"]
        assert third["previous"] == second["offset"]
        await publish(one, "live")
        assert await data(client, 1) == ["live"]
    async with one.connect(f"/room?resume={quote(token)}") as client:
        assert (await envelope(client))["recovered"] is True
        assert await data(client, 4) == ["seen", "missed 1", "missed 2", "live"]


async def test_live_members_in_one_order(start: Start) -> None:
    """Members on all gateways get the publications of all publishers, each once, in one order."""
    one, two = await start(), await start()
    async with one.connect("/room") as first, two.connect("/room") as second:
        await envelope(first)
        await envelope(second)
        for number in range(50):
            (one, two)[number % 2].node.publish("room", str(number))
        orders = [await data(client, 50) for client in (first, second)]
    assert orders[0] == orders[1]
    assert sorted(map(int, orders[0])) == list(range(50))
    assert [text for text in orders[0] if int(text) % 2] == [str(number) for number in range(1, 50, 2)]


async def test_a_gap_that_is_mended(start: Start, server: Any) -> None:
    """What a gateway missed while its line was cut comes when it is back, in order, once; nobody is told."""
    async with TcpProxy(server.port) as line:
        one = await start()
        two = await start(f"{urlsplit(server.url).scheme}://127.0.0.1:{line.port}")
        async with two.connect("/room") as client, two.connect("/bare") as bare:
            await envelope(client)
            await publish(one, "before")
            assert await data(client, 1) == ["before"]
            line.swallow()
            line.break_off()
            await until(lambda: not two.node.broker.status.connected)
            await publish(one, "missed 1", "missed 2")
            line.mend()
            await until(lambda: two.node.broker.status.connected)
            await publish(one, "after")
            got = [await envelope(client) for _ in range(4)]
            assert [one["data"] for one in got if "data" in one] == ["missed 1", "missed 2", "after"]
            # The groups without history have no such thing.
            assert [one for one in got if "data" not in one] == [
                {"gap": True, "resume": got[0]["resume"]}
            ] or [set(one) for one in got if "data" not in one] == [{"gap", "resume"}]
            assert [await bare.recv() for _ in range(4)] == ["before", "missed 1", "missed 2", "after"]
        assert two.node.metrics.publication_gaps == 0


async def test_a_gap_that_is_too_long(start: Start, server: Any) -> None:
    """If more was missed than is kept, members are told, or closed with the code for it."""
    async with TcpProxy(server.port) as line:
        one = await start()
        two = await start(f"{urlsplit(server.url).scheme}://127.0.0.1:{line.port}")
        async with (
            two.connect("/room") as client,
            two.connect("/bare") as bare,
            two.connect("/other") as other,
        ):
            await envelope(client)
            await publish(one, "before")
            assert await data(client, 1) == ["before"]
            line.swallow()
            line.break_off()
            await until(lambda: not two.node.broker.status.connected)
            await publish(one, *(str(number) for number in range(30)))
            line.mend()
            await until(lambda: two.node.metrics.publication_gaps == 1)
            await publish(one, "after")
            told: list[dict[str, Any]] = []
            while not told or told[-1].get("data") != "after":
                told.append(await envelope(client))
            assert any(one.get("gap") and one.get("group") == "room" for one in told)
            assert await bare.recv() == "before"
            with pytest.raises(ConnectionClosed) as closed:
                await bare.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4409
            two.node.publish("plain", "still here")
            assert await other.recv() == "still here"


async def test_killed_and_back(start: Start, server: Any) -> None:
    """An engine that was killed and keeps its data goes on where it was: clients recover across it."""
    one = await start()
    async with one.connect("/room") as client:
        token = (await envelope(client))["resume"]
        await publish(one, "before")
        assert await data(client, 1) == ["before"]
        await asyncio.to_thread(server.kill)
        await until(lambda: not one.node.broker.status.connected)
        one.node.publish("room", "waits")
        await asyncio.to_thread(server.start)
        told = [await envelope(client)]
        while told[-1].get("data") != "waits":
            told.append(await envelope(client))
    assert [one["data"] for one in told if "data" in one] == ["waits"]
    async with one.connect(f"/room?resume={quote(token)}") as client:
        assert (await envelope(client))["recovered"] is True
        assert await data(client, 2) == ["before", "waits"]


async def test_an_engine_that_has_lost_everything(start: Start, server: Any) -> None:
    """After its data are gone, members are told and former tokens recover nothing; then all goes on."""
    one = await start()
    async with one.connect("/room") as client:
        token = (await envelope(client))["resume"]
        await publish(one, "before")
        assert await data(client, 1) == ["before"]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.forget)
        await asyncio.to_thread(server.start)
        await until(lambda: one.node.broker.status.connected)
        await publish(one, "after")
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("data") != "after":
            told.append(await envelope(client))
        assert any(one.get("gap") and one.get("group") == "room" for one in told)
    async with one.connect(f"/room?resume={quote(token)}") as client:
        assert (await envelope(client))["recovered"] is False
        await publish(one, "new")
        assert await data(client, 1) == ["new"]


async def test_many_at_once(start: Start) -> None:
    """Those who come back together to another gateway get what they missed by one question to the engine."""
    one, two = await start(), await start()
    async with one.connect("/room") as client:
        token = (await envelope(client))["resume"]
    await publish(one, *(str(number) for number in range(10)))

    async def come_back() -> list[str]:
        async with two.connect(f"/room?resume={quote(token)}") as client:
            assert (await envelope(client))["recovered"] is True
            return await data(client, 10)

    got = await asyncio.gather(*(come_back() for _ in range(40)))
    assert got == [[str(number) for number in range(10)]] * 40


async def test_who_joins_and_publishes_at_once(start: Start) -> None:
    """The first member's own first publication comes back to it, as in a group without history."""
    one = await start()
    for number in range(20):
        async with one.connect("/bare") as client:
            (connection,) = one.node.connections()
            connection.join(f"room-{number}")
            connection.publish(f"room-{number}", str(number))
            assert await client.recv() == str(number)


async def test_a_loss_that_nobody_was_there_to_hear_of(start: Start, server: Any) -> None:
    """A gateway that was cut off while another told of lost publications tells its members when it is back.

    A client that resumes from before them is not recovered, on whichever gateway.
    """
    async with TcpProxy(server.port) as first_line, TcpProxy(server.port) as second_line:
        scheme = urlsplit(server.url).scheme
        one = await start(f"{scheme}://127.0.0.1:{first_line.port}")
        two = await start(f"{scheme}://127.0.0.1:{second_line.port}")
        async with two.connect("/room") as client:
            await envelope(client)
            await publish(one, "before")
            token = (await envelope(client))["resume"]
            second_line.swallow()
            second_line.break_off()
            await until(lambda: not two.node.broker.status.connected)
            first_line.swallow()
            one.node.publish("room", "lost")
            await until(lambda: not one.node.broker.status.connected)
            first_line.break_off()
            first_line.mend()
            await until(lambda: one.node.broker.status.connected)
            await publish(one, "after")
            second_line.mend()
            told = [await envelope(client)]
            while told[-1].get("data") != "after":
                told.append(await envelope(client))
            assert any(one.get("gap") and one.get("group") == "room" for one in told)
            assert not any(one.get("data") == "lost" for one in told)
        for served in (one, two):
            async with served.connect(f"/room?resume={quote(token)}") as client:
                assert (await envelope(client))["recovered"] is False


async def test_a_key_whose_publication_was_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a group without history a node that fails tells the others: the next try publishes there, once."""
    one, two = await start(), await start()

    def refuse(_: Publication) -> int:
        raise BrokerUnavailableError("too much waits to be sent")

    async with one.connect("/other") as here, two.connect("/other") as there:
        monkeypatch.setattr(one.node.broker, "publish", refuse)
        with pytest.raises(BrokerUnavailableError):
            await one.node.publish_confirmed("plain", "once", idempotency_key="k")
        monkeypatch.undo()
        await until(lambda: two.node.doubts.tries("5 plain k") == 1)
        assert not (await two.node.publish_confirmed("plain", "once", idempotency_key="k")).repeated
        for served in (one, two):
            assert (await served.node.publish_confirmed("plain", "once", idempotency_key="k")).repeated
        two.node.publish("plain", "end")
        for client in (here, there):
            assert [await client.recv(), await client.recv()] == ["once", "end"]


async def test_what_a_gateway_cannot_read_is_missing(start: Start) -> None:
    """One that takes shorter messages only says that its history lacks some, and recovers nobody past it."""
    one, two = await start(), await start(most_bytes=2048)
    async with two.connect("/room") as client:
        token = (await envelope(client))["resume"]
        await publish(one, "short")
        first = await envelope(client)
        await publish(one, "x" * 5000)
        assert (await envelope(client))["gap"] is True
        await publish(one, "last")
        assert (await envelope(client))["data"] == "last"
    behind = await two.node.history("room", first["offset"], 10)
    assert [publication.message for publication in behind.publications] == ["last"]
    assert (behind.floor > first["offset"], behind.whole) == (True, False)
    assert (await one.node.history("room", first["offset"], 10)).floor <= first["offset"]
    async with two.connect(f"/room?resume={quote(token)}") as client:
        assert (await envelope(client))["recovered"] is False
    async with one.connect(f"/room?resume={quote(token)}") as client:
        assert (await envelope(client))["recovered"] is True
