"""Tests of what plugins and group policies add to a serving process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from sanic import Blueprint
from sanic.response import text
from websockets.exceptions import InvalidStatus

from gateway import Refusal, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served


async def test_a_blueprint_answers(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """A plugin's blueprint answers plain HTTP beside the routes, and gets the node."""

    class Answering:
        @hookimpl
        def gateway_blueprints(self, node: Any) -> list[Blueprint]:
            blueprint = Blueprint("answering")
            blueprint.add_route(lambda _: text(node.name), "/name")
            return [blueprint]

    server = await serve_gateway("routes: []", plugins=[Answering()])
    async with aiohttp.ClientSession() as session, session.get(server.http_url("/name")) as answer:
        assert await answer.text() == server.node.name


@pytest.mark.parametrize("form", ["plain", "async"])
async def test_admission_may_refuse(serve_gateway: Callable[..., Awaitable[Served]], form: str) -> None:
    """A plugin refuses an opening handshake with its own answer, or lets it pass."""
    refusal = Refusal(403, "not_today", "come back tomorrow", (("Retry-After", "86400"),))

    class Plain:
        @hookimpl
        def gateway_admit(self, opening: Any) -> Refusal | None:
            return refusal if opening.request.query == "today" else None

    class Waiting:
        @hookimpl
        async def gateway_admit(self, opening: Any) -> Refusal | None:
            await asyncio.sleep(0)
            return refusal if opening.request.query == "today" else None

    server = await serve_gateway(
        "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]",
        plugins=[Plain() if form == "plain" else Waiting()],
    )
    with pytest.raises(InvalidStatus) as caught:
        await server.connect("/echo?today")
    assert caught.value.response.status_code == 403
    assert caught.value.response.headers["Retry-After"] == "86400"
    async with server.connect("/echo") as client:
        await client.send("through")
        assert await client.recv() == "through"


async def test_admission_may_ask_for_nothing(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """A hook without parameters is called without arguments."""

    class Closed:
        @hookimpl
        def gateway_admit(self) -> Refusal:
            return Refusal(503, "closed", "closed for today")

    server = await serve_gateway(
        "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]", plugins=[Closed()]
    )
    with pytest.raises(InvalidStatus) as caught:
        await server.connect("/echo")
    assert caught.value.response.status_code == 503


async def test_the_first_group_policy_that_matches_holds(
    serve_gateway: Callable[..., Awaitable[Served]],
) -> None:
    """A group has the overflow policy of the first pattern that its name matches."""
    server = await serve_gateway("""
plugins: {live: {enabled: false}}
routes: [{path: /echo, allow_missing_origin: true, groups: ["room:1", "room:x", other], handlers: [echo]}]
groups:
  - {pattern: "room:1", overflow: drop_oldest}
  - {pattern: "room:*", overflow: drop_newest}
""")
    async with server.connect("/echo"):
        (connection,) = server.node.connections()
        policies = {group.name: group.overflow for group in connection.joined}
        assert policies == {"room:1": "drop_oldest", "room:x": "drop_newest", "other": None}


@pytest.mark.parametrize(("plugins", "served"), [("{}", True), ("{live: {enabled: false}}", False)])
async def test_whether_a_page_is_served(
    serve_gateway: Callable[..., Awaitable[Served]], plugins: str, served: bool
) -> None:
    """The page is the live plugin's; without it there is none to be announced."""
    server = await serve_gateway(f"plugins: {plugins}")
    assert server.gateway.serves_page is served
    async with aiohttp.ClientSession() as session, session.get(server.http_url("/")) as answer:
        assert answer.status == (200 if served else 404)
