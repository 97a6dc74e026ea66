"""Whole gateways that share a broker: what clients and load balancers see."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from nodes import LINKED, PATIENCE_SECONDS, until
from websockets.exceptions import InvalidStatus

from gateway import (
    BrokerUnavailableError,
    GatewayError,
    Handler,
    Options,
    PluginBroker,
    hookimpl,
)
from gateway.broker.memory import MemoryBroker
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from nats_server import NatsServer

    Start = Callable[..., Awaitable[Served]]

ROUTES = """
routes:
  - path: /room/{room}
    allow_missing_origin: true
    authenticate: [token]
    groups: ["room:{room}"]
    handlers: [talk]
authentication: {token: {keys: [{name: a, user: ann, token: ann-1}, {name: b, user: bob, token: bob-1}]}}
api: {tokens: [{name: ops, token: ops-1}]}
"""


class Talk(Handler):
    """Says what a client says to all others in its room."""

    def on_message(self, connection: Any, message: str | bytes) -> None:
        """Publish it."""
        connection.publish(connection.groups[0], message, include_sender=False)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """A function that serves a gateway until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(broker: str, **options: Any) -> Served:
            folder = tmp_path / f"gateway-{secrets.token_hex(4)}"
            folder.mkdir()
            options.setdefault("handlers", {"talk": Talk})
            text = f"broker: {{{broker}{', probe_interval_seconds: 0.2' * ('urls' in broker)}}}\n{ROUTES}"
            return await stack.enter_async_context(serve(folder, text, **options))

        yield start


@pytest.fixture(params=LINKED)
def server(request: pytest.FixtureRequest) -> Any:
    """A server of the test's own, of each kind."""
    server = request.getfixturevalue(f"{request.param}_server")()
    server.settings = f"type: {request.param}, urls: ['{server.url}']"
    return server


@pytest.fixture
async def pair(server: Any, start: Start) -> tuple[Served, Served]:
    """Two gateways on one server."""
    return await start(server.settings), await start(server.settings)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


def connect(server: Served, user: str = "ann", room: str = "one") -> Any:
    """Connect a user to a room."""
    return server.connect(f"/room/{room}", additional_headers={"Authorization": f"Bearer {user}-1"})


async def joined(*servers: Served) -> None:
    """Wait until every gateway's subscriptions hold."""
    for server in servers:
        status = server.node.broker.status
        for _ in range(2):
            proved_at = status.proved_at
            await until(lambda status=status, proved_at=proved_at: status.proved_at > proved_at)


async def receive(connection: Any) -> str | bytes:
    """Wait for a message."""
    return await asyncio.wait_for(connection.recv(), PATIENCE_SECONDS)


async def ready(http: aiohttp.ClientSession, server: Served) -> tuple[int, str]:
    """Ask `/readyz`."""
    async with http.get(server.http_url("/readyz")) as answer:
        return answer.status, (await answer.json())["status"]


async def test_members_of_a_group_on_two_nodes(pair: tuple[Served, Served]) -> None:
    """Each gets what the others say, once, and not what it said itself."""
    one, two = pair
    async with connect(one) as ann, connect(two, "bob") as bob, connect(two, "bob", "two") as elsewhere:
        await joined(one, two)
        await ann.send("from ann")
        assert await receive(bob) == "from ann"
        await bob.send(b"from bob")
        assert await receive(ann) == b"from bob"
        one.node.publish("room:two", "for the other room")
        assert await receive(elsewhere) == "for the other room"
        one.node.publish_to_user("bob", "for bob")
        assert [await receive(connection) for connection in (bob, elsewhere)] == ["for bob"] * 2
        two.node.publish_to_everyone("for all")
        assert [await receive(connection) for connection in (ann, bob, elsewhere)] == ["for all"] * 3


async def test_orders_reach_every_node(pair: tuple[Served, Served], http: aiohttp.ClientSession) -> None:
    """Whoever is disconnected or revoked through one node is so on all."""
    one, two = pair
    bearer = {"Authorization": "Bearer ops-1"}
    async with connect(two, "bob") as bob:
        await joined(two)
        async with http.post(one.http_url("/api/disconnect"), json={"user": "bob"}, headers=bearer) as answer:
            assert answer.status == 200
        await asyncio.wait_for(bob.wait_closed(), PATIENCE_SECONDS)
        assert bob.close_code == 4410
    async with connect(two, "bob") as bob:
        async with http.post(one.http_url("/api/revoke"), json={"user": "bob"}, headers=bearer) as answer:
            assert answer.status == 200
        await asyncio.wait_for(bob.wait_closed(), PATIENCE_SECONDS)
        assert bob.close_code == 4403


async def test_readiness_follows_the_broker(server: Any, start: Start, http: aiohttp.ClientSession) -> None:
    """A held broker shows within two intervals of the probe, before the connection is given up."""
    served = await start(server.settings)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await ready(http, served) != (200, "ready"):
            await asyncio.sleep(0)
    async with connect(served) as ann:
        server.hold()
        loop = asyncio.get_running_loop()
        held_at = loop.time()
        while await ready(http, served) == (200, "ready"):
            await asyncio.sleep(0)
        assert loop.time() - held_at < 3  # two intervals are a tenth of a second, and this machine is busy
        assert await ready(http, served) == (503, "broker down")
        assert served.node.broker.status.connected
        # Members of one node go on, and others may join.
        async with connect(served, "bob") as bob:
            await bob.send("still here")
            assert await receive(ann) == "still here"
        server.release()
        await until(lambda: not served.node.broker_is_down)
        assert await ready(http, served) == (200, "ready")
        assert served.node.metrics.broker_gaps == 0


async def test_a_killed_broker_comes_back(
    server: Any, pair: tuple[Served, Served], http: aiohttp.ClientSession
) -> None:
    """The gap is counted and logged, and everybody hears everybody again."""
    one, two = pair
    async with connect(one) as ann, connect(two, "bob") as bob:
        await asyncio.to_thread(server.kill)
        await until(lambda: one.node.broker_is_down and two.node.broker_is_down)
        assert await ready(http, one) == (503, "broker down")
        await asyncio.to_thread(server.start)
        await until(lambda: one.node.metrics.broker_gaps > 0 and two.node.metrics.broker_gaps > 0)
        assert await ready(http, one) == (200, "ready")
        await ann.send("again")
        assert await receive(bob) == "again"
    assert [line["connections"] for line in one.log if line["event"] == "broker_gap"] == [1]


class TestRequired:
    """A broker without which there is no use in a node."""

    async def test_it_has_to_be_there_at_the_start(self, start: Start) -> None:
        """Otherwise the start fails with the reason."""
        with pytest.raises(BrokerUnavailableError, match="broker unavailable: ConnectionRefusedError"):
            await start("type: nats, urls: ['nats://127.0.0.1:1'], required: true")

    async def test_nobody_is_let_in_while_it_is_down(
        self, nats_server: Callable[..., NatsServer], start: Start, http: aiohttp.ClientSession
    ) -> None:
        """Opening handshakes are refused with 503; who is in stays."""
        server = nats_server()
        served = await start(f"type: nats, urls: ['{server.url}'], required: true")
        async with connect(served) as ann, connect(served, "bob") as bob:
            await asyncio.to_thread(server.kill)
            await until(lambda: served.node.broker_is_down)
            with pytest.raises(InvalidStatus) as caught:
                await connect(served)
            response = caught.value.response
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert b'"broker_unavailable"' in (response.body or b"")
            await ann.send("still here")
            assert await receive(bob) == "still here"
            await asyncio.to_thread(server.start)
            await until(lambda: not served.node.broker_is_down)
            async with connect(served):
                pass

    async def test_one_that_is_not_required(self, start: Start, http: aiohttp.ClientSession) -> None:
        """The node serves what it has from the start, and is not ready."""
        served = await start("type: nats, urls: ['nats://127.0.0.1:1']")
        assert await ready(http, served) == (503, "broker down")
        async with connect(served) as ann, connect(served, "bob") as bob:
            await ann.send("here")
            assert await receive(bob) == "here"


async def test_publishing_over_http_where_nothing_may_be_lost(
    start: Start, http: aiohttp.ClientSession
) -> None:
    """With `when_down: refuse` whoever calls learns that it went nowhere."""
    served = await start("type: nats, urls: ['nats://127.0.0.1:1'], when_down: refuse")
    body, bearer = {"group": "room:one", "data": "x"}, {"Authorization": "Bearer ops-1"}
    async with http.post(served.http_url("/api/publish"), json=body, headers=bearer) as answer:
        assert (answer.status, (await answer.json())["error"]) == (503, "broker_unavailable")


class TestPlugins:
    """A broker from a plugin."""

    class Settings(Options):
        """Its options."""

        place: str

    @pytest.fixture
    def plugin(self) -> Iterator[tuple[Any, list[Any]]]:
        """A plugin with a broker, and those that were made."""
        made: list[Any] = []

        class Carrier(PluginBroker[TestPlugins.Settings]):
            """A broker that carries nothing, like the one in memory."""

            def __init__(self, options: TestPlugins.Settings, node: str, log: Any) -> None:
                super().__init__(options, node, log)
                self._inner = MemoryBroker()
                made.append(self)

            async def start(self, deliver: Any, notified: Any, on_gap: Any) -> None:
                if self.options.place == "nowhere":
                    raise RuntimeError("nowhere to go")
                await self._inner.start(deliver, notified, on_gap)

            async def stop(self) -> None:
                await self._inner.stop()

            def subscribe(self, group: str) -> None:
                self._inner.subscribe(group)

            def unsubscribe(self, group: str) -> None:
                self._inner.unsubscribe(group)

            def publish(self, publication: Any) -> int:
                return self._inner.publish(publication)

            def notify(self, note: Any) -> int:
                return self._inner.notify(note)

            async def claim(self, key: str, seconds: float) -> bool:
                return await self._inner.claim(key, seconds)

        class Half(PluginBroker):
            """A broker that somebody has not finished."""

        class Plugin:
            """The plugin."""

            @hookimpl
            def gateway_brokers(self) -> Any:
                return {"carrier": Carrier, "half": Half}

        return Plugin(), made

    async def test_it_is_made_with_its_options(self, start: Start, plugin: Any) -> None:
        """And with the node's name; then it is the node's broker."""
        value, made = plugin
        served = await start("type: carrier, place: here", plugins=[value])
        (broker,) = made
        assert served.broker._inner is broker
        assert (broker.options.place, broker.node) == ("here", served.node.name)
        async with connect(served) as ann, connect(served, "bob") as bob:
            await ann.send("hello")
            assert await receive(bob) == "hello"

    async def test_its_start_may_fail(self, start: Start, plugin: Any) -> None:
        """The start of the gateway fails with it."""
        with pytest.raises(RuntimeError, match="nowhere to go"):
            await start("type: carrier, place: nowhere", plugins=[plugin[0]])

    @pytest.mark.parametrize(
        ("broker", "line"),
        [
            (
                "type: carier, place: x",
                "no installed plugin gives this broker: 'carier' (did you mean 'carrier'?)",
            ),
            ("type: carrier", "broker.place: missing"),
            ("type: carrier, plaze: x", "broker.plaze: unknown key (did you mean 'place'?)"),
            ("type: half", "broker 'half' failed at its start: TypeError: Can't instantiate abstract class"),
        ],
    )
    async def test_what_is_wrong_is_told(self, start: Start, plugin: Any, broker: str, line: str) -> None:
        """Its name and its options are judged with the rest of the file."""
        with pytest.raises(GatewayError) as caught:
            await start(broker, plugins=[plugin[0]])
        assert line in str(caught.value)
