"""Tests of what records publications, and of the broker that can be out of order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway import BrokerUnavailableError, Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Published, Served


class Telling(Handler):
    """A handler that publishes each message in every way."""

    def on_open(self, connection: Connection) -> None:
        """Join."""
        connection.join("room")

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Publish it."""
        try:
            connection.publish("room", message, include_sender=False, key="k")
            connection.publish_to_user("ada", message)
            connection.publish_to_everyone(message)
        except BrokerUnavailableError as exc:
            connection.send(str(exc))


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """The gateway."""
    return await serve_gateway(Telling)


@pytest.fixture
async def client(server: Served, gateway_client: Callable[..., Awaitable[Client]]) -> Client:
    """A client of it."""
    return await gateway_client(server)


async def test_publications_are_recorded(
    server: Served, client: Client, gateway_published: Published
) -> None:
    """What went to a group, a user and everyone is told apart, in order, with all that was said of it."""
    assert await client.ask('{"a": 1}') == '{"a": 1}'
    (connection,) = server.node.connections()
    group, user, everyone = gateway_published
    assert (group.group, group.user, group.exclude, group.key) == ("room", None, connection.id, "k")
    assert (user.group, user.user, user.exclude, user.to_everyone) == (None, "ada", None, False)
    assert (everyone.group, everyone.user, everyone.to_everyone) == (None, None, True)
    assert everyone.json() == {"a": 1}
    assert server.published is gateway_published
    assert gateway_published.to_group("room") == gateway_published.to_user("ada") == ['{"a": 1}']
    assert gateway_published.to_everyone() == ['{"a": 1}']
    assert gateway_published.to_group("other") == []
    gateway_published.clear()
    assert len(gateway_published) == 0


async def test_a_publication_is_waited_for(server: Served, gateway_published: Published) -> None:
    """One that comes later is waited for; one that does not come is told, with those that did."""
    server.node.after(0.01, server.node.publish, "room", "late")
    record = await gateway_published.wait_for(lambda record: record.message == "late")
    assert record.group == "room"
    with pytest.raises(AssertionError, match=r"nothing was published that is wanted, only .*'late'"):
        await gateway_published.wait_for(lambda record: record.user == "bob", within_seconds=0.01)


async def test_an_outage_of_the_broker(server: Served, client: Client, gateway_published: Published) -> None:
    """Publishing and claiming fail meanwhile, the gateway is not ready, and a gap is told at the end."""

    async def readiness() -> int:
        async with aiohttp.ClientSession() as http, http.get(server.http_url("/readyz")) as answer:
            return answer.status

    before: Any = await readiness()
    with server.broker_outage():
        assert "broker unavailable: out of order" in str(await client.ask("x"))
        with pytest.raises(BrokerUnavailableError):
            await server.node.broker.claim("key", 1)
        assert server.node.broker_is_down
    assert len(gateway_published) == 0
    assert server.node.metrics.broker_gaps == 1
    assert not server.node.broker_is_down
    assert await client.ask("x") == "x"
    assert before == await readiness() == 200


async def test_an_outage_that_refuses_nothing(
    server: Served, client: Client, gateway_published: Published
) -> None:
    """Publications reach this node's members meanwhile, and are counted as lost to others."""
    with server.broker_outage(refuse=False):
        assert await client.ask("x") == "x"
    assert len(gateway_published) == 3
    assert server.node.broker.status.publications_lost == 3
