"""Tests of the operators' listener: what is served there and nowhere else, to whom, and who opens it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.admin.sessions import COOKIE
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served
    from gateway.testing.clock import TestClock

PATIENCE_SECONDS = 30

YAML = """
admin: {port: 0, session_seconds: 100}
listen: {drain_seconds: 0, max_connections: 1}
groups: [{pattern: "*", history: {size: 5}, presence: true}]
api:
  tokens:
    - {name: ops, token: ops-1}
    - {name: reads, token: read-1, scopes: [read]}
    - {name: prometheus, token: prom-1, scopes: [metrics]}
    - {name: pushes, token: push-1, scopes: [publish]}
routes: [{path: /room, allow_missing_origin: true, groups: [news], handlers: [echo]}]
"""


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with a listener for operators, and room for one client."""
    return await serve_gateway(YAML)


@pytest.fixture
async def ask(server: Served) -> AsyncIterator[Callable[..., Awaitable[httpx.Response]]]:
    """A function that asks the operators' listener."""
    async with httpx.AsyncClient(base_url=server.admin_url(""), trust_env=False) as client:

        async def ask(path: str, token: str | None = "ops-1", **options: Any) -> httpx.Response:
            fields = {} if token is None else {"Authorization": f"Bearer {token}"}
            fields |= options.pop("headers", {})
            return await client.request(options.pop("method", "GET"), path, headers=fields, **options)

        yield ask


def look(server: Served, *, token: str | None = "ops-1", **options: Any) -> Any:
    """Open the live figures."""
    offered = ["gateway.live", *([] if token is None else [f"bearer.{token}"])]
    url = f"ws://localhost:{server.admin_port}/admin/live"
    return connect(url, subprotocols=offered, proxy=None, **options)


async def hear(client: Any, **wanted: Any) -> dict[str, Any]:
    """Wait for a message of this kind."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message: dict[str, Any] = json.loads(await client.recv())
            if wanted.items() <= message.items():
                return message


async def end(client: Any) -> int:
    """Read until the end; give its close code."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionClosed):
            async for _ in client:
                pass
    return int(client.close_code)


async def test_each_has_its_own(server: Served, ask: Any) -> None:
    """API and figures are served there alone, routes where clients connect, and health on both."""
    for path in ("/metrics", "/api/nodes", "/api/openapi.json", "/admin", "/admin/live"):
        assert (
            await server.request("GET", path, headers={"Authorization": "Bearer ops-1"})
        ).status_code == 404
    assert (await ask("/metrics")).text.startswith("# HELP")
    assert (await ask("/api/nodes")).json()["node"] == server.node.name
    for base in (server.http_url(""), server.admin_url("")):
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            assert (await client.get("/readyz")).json() == {"status": "ready"}
    with pytest.raises(InvalidStatus, match="404"):
        async with connect(f"ws://localhost:{server.admin_port}/room", proxy=None):
            pass


@pytest.mark.parametrize(
    ("token", "opens"),
    [
        ("ops-1", {"publish", "read", "metrics", "disconnect", "revoke"}),
        ("read-1", {"read", "metrics"}),
        ("prom-1", {"metrics"}),
        ("push-1", {"publish"}),
    ],
)
async def test_scopes(server: Served, ask: Any, token: str, opens: set[str]) -> None:
    """A token opens what its scopes name, and is told 403 for the rest, before its body is read."""
    calls = {
        "publish": ("/api/publish", {"group": "news", "data": 1}),
        "disconnect": ("/api/disconnect", {"user": "nobody"}),
        "revoke": ("/api/revoke", {"jti": "none"}),
        "read": ("/api/users", None),
        "metrics": ("/metrics", None),
    }
    for scope, (path, body) in calls.items():
        answer = await ask(path, token, method="GET" if body is None else "POST", json=body)
        assert answer.status_code == (200 if scope in opens else 403), scope
        if scope not in opens and scope != "metrics":
            assert answer.json()["error"] == "insufficient_scope"
            assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    told = (await ask("/api/session", token)).json()
    named = opens if token != "read-1" else {"read"}
    assert (set(told["scopes"]), told["ends_at"]) == (named, None)
    if "read" in opens:
        async with look(server, token=token):
            pass
    else:
        with pytest.raises(InvalidStatus, match="403"):
            await look(server, token=token)
    assert token not in server.stream.getvalue()


@pytest.mark.parametrize(
    ("named", "scopes"),
    [
        ("publish read", {"publish", "read"}),
        (["read", "all"], {"read"}),
        ("all", set()),
        (7, set()),
        (None, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
async def test_scopes_by_a_claim(
    serve_gateway: Callable[..., Awaitable[Served]], named: object, scopes: set[str]
) -> None:
    """Who is let in by a way may what the claim `scopes_claim` says."""
    claims = json.dumps({"role": "ops", "scope": named})
    server = await serve_gateway(f"""
admin: {{port: 0}}
api: {{authenticate: [token], required_claims: {{role: ops}}, scopes_claim: scope}}
authentication: {{token: {{keys: [{{name: k, user: ann, token: ann-1, claims: {claims}}}]}}}}
""")
    async with httpx.AsyncClient(headers={"Authorization": "Bearer ann-1"}, trust_env=False) as client:
        told = (await client.get(server.admin_url("/api/session"))).json()
        assert (told["name"], set(told["scopes"])) == ("token:ann", scopes)
        answer = await client.get(server.admin_url("/api/users"))
        assert answer.status_code == (200 if "read" in scopes else 403)


async def test_a_session_needs_its_own_page(server: Served, ask: Any) -> None:
    """The cookie opens the API together with a field that no other page can send, and for its own origin."""
    session = server.gateway._admin.access.sessions
    cookie = {"Cookie": f"{COOKIE}={session.issue('reads')}"}
    page = {"X-Gateway-Admin": "1"}
    assert (await ask("/api/users", None, headers=cookie)).status_code == 401
    assert (await ask("/api/users", None, headers=page)).status_code == 401
    assert (await ask("/api/users", None, headers=cookie | page)).status_code == 200
    told = (await ask("/api/session", None, headers=cookie | page)).json()
    assert (told["name"], told["scopes"]) == ("reads", ["read"])
    assert told["ends_at"] == pytest.approx(server.node.now() + 100, abs=10)
    own = {"Origin": server.admin_url("")}
    assert (await ask("/api/users", None, headers=cookie | page | own)).status_code == 200
    for origin in (server.origin, "http://else.test", "null"):
        answer = await ask("/api/users", None, headers=cookie | page | {"Origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (403, "origin_not_allowed")
    body = {"group": "news", "data": 1}
    answer = await ask("/api/publish", None, headers=cookie | page, method="POST", json=body)
    assert answer.json()["error"] == "insufficient_scope"


async def test_sessions_that_are_none(
    serve_gateway: Callable[..., Awaitable[Served]], gateway_clock: TestClock
) -> None:
    """One that is forged, has ended, or is of a token that has been changed, opens nothing."""
    text = YAML + "resume: {key: one-key-for-all-of-thirty-two-bytes}\n"
    server, same = await serve_gateway(text), await serve_gateway(text)
    other = await serve_gateway(text.replace("ops-1", "ops-2"))
    sessions = server.gateway._admin.access.sessions
    good = sessions.issue("ops")
    assert sessions.find(good).caller.name == "ops"
    assert same.gateway._admin.access.sessions.find(good) == sessions.find(good)
    assert other.gateway._admin.access.sessions.find(good) is None
    for value in ("", ".", good[:-2], good[1:], good.replace(".", "..", 1), "x" * 5000, "\udcff", "[1].x"):
        assert sessions.find(value) is None
    await gateway_clock.turn(101)
    assert sessions.find(good) is None


async def test_a_look_is_no_connection(server: Served, ask: Any) -> None:
    """Who looks is in no group of the application, takes nobody's place, and hears what is counted."""
    async with server.connect("/room") as room, look(server) as client:
        with pytest.raises(InvalidStatus, match="503"):
            await server.connect("/room")
        families = await hear(client, type="families")
        assert families["families"]["gateway_connections"]["labels"] == ["route"]
        assert families["session"]["name"] == "ops"
        figures = await hear(client, type="figures", connections=1)
        assert (figures["node"], figures["broker"]["type"]) == (server.node.name, "memory")
        assert (figures["groups"], server.node.hub.groups) == (1, ("news",))
        assert [["/room"], 1] in figures["figures"]["gateway_connections"]
        assert server.node.publish_to_everyone("all") == 1
        assert server.node.publish_to_user("api:ops", "you") == 0
        assert await room.recv() == "all"
        assert [one["path"] for one in (await ask("/api/connections")).json()["connections"]] == ["/room"]
        await client.send("what operators say is not heard")
        assert (await hear(client, type="figures"))["connections"] == 1
    refused = [line["error"] for line in server.log if line["event"] == "opening_refused"]
    assert refused == ["too_many_connections"]


@pytest.mark.parametrize(
    ("cookie", "origin", "status"),
    [
        (True, "own", 101),
        (True, "main", 403),
        (True, None, 401),
        (True, "http://else.test", 403),
        (False, "own", 401),
    ],
    ids=str,
)
async def test_who_may_look_by_cookie(server: Served, cookie: bool, origin: str | None, status: int) -> None:
    """A session opens the live figures for a page of this very origin."""
    value = server.gateway._admin.access.sessions.issue("ops") if cookie else "forged"
    fields = {"Cookie": f"{COOKIE}={value}"}
    names = {"own": server.admin_url(""), "main": server.origin}
    try:
        async with look(
            server, token=None, additional_headers=fields, origin=names.get(origin, origin)
        ) as client:
            found = 101
            assert (await hear(client, type="families"))["session"]["name"] == "ops"
    except InvalidStatus as refused:
        found = refused.response.status_code
    assert found == status


async def test_a_look_ends_with_its_session(
    serve_gateway: Callable[..., Awaitable[Served]], gateway_clock: TestClock
) -> None:
    """At the end of the session the connection is closed with 4401."""
    server = await serve_gateway(YAML)
    fields = {"Cookie": f"{COOKIE}={server.gateway._admin.access.sessions.issue('ops')}"}
    async with look(server, token=None, additional_headers=fields, origin=server.admin_url("")) as client:
        await hear(client, type="families")
        await gateway_clock.turn(101)
        assert await end(client) == 4401


async def test_without_a_token(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """There is a listener without an API, and nobody can look."""
    server = await serve_gateway("{admin: {port: 0}, metrics: {public: true}}")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(server.admin_url("/metrics"))).status_code == 200
        assert (await client.get(server.admin_url("/api/nodes"))).status_code == 404
    with pytest.raises(InvalidStatus, match="404"):
        async with look(server):
            pass


async def test_the_end(tmp_path: Path) -> None:
    """When the gateway stops, who looks sees it go: 1001, and the port is free."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(tmp_path, YAML))
        async with look(server) as client:
            await hear(client, type="families")
            stopping = asyncio.ensure_future(stack.aclose())
            assert await end(client) == 1001
            await stopping
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", server.admin_port)
