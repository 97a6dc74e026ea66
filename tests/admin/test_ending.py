"""Tests of `POST /api/disconnect`: who is closed, with what, and everything that is refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import ClientSession

    from gateway.testing import Served

PATIENCE_SECONDS = 30
TOKENS = {"ann": "tok-" + "ann-1", "amy": "tok-" + "amy-1", "bob": "tok-" + "bob-1"}

CONFIGURATION = """
listen: {drain_seconds: 0}
api: {tokens: [{name: ops, token: ops-token}], max_body_bytes: 2000}
authentication:
  token:
    keys:
      - {name: a, user: ann, token: "${ann}", claims: {role: admin, teams: [red, blue]}}
      - {name: m, user: amy, token: "${amy}", claims: {role: guest, teams: [blue]}}
      - {name: b, user: bob, token: "${bob}", claims: {role: guest, level: 1}}
routes:
  - {path: /room, name: room, allow_missing_origin: true, groups: [news], handlers: [echo]}
  - path: "/mine/{what}"
    name: mine
    allow_missing_origin: true
    authenticate: [token]
    groups: ["what:{what}"]
    handlers: [echo]
"""
BEARER = {"Authorization": "Bearer ops-token"}


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with an API, and users with claims."""
    return await serve_gateway(CONFIGURATION, environ=TOKENS)


@pytest.fixture
def call(server: Served, http: ClientSession) -> Callable[..., Awaitable[Any]]:
    """A function that calls `POST /api/disconnect`, and gives the answer's JSON."""

    async def call(body: Any, status: int = 200) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = server.http_url("/api/disconnect")
        async with http.post(url, data=data, headers=BEARER) as response:
            assert response.status == status, await response.text()
            assert response.headers["content-type"] == "application/json"
            return await response.json()

    return call


@pytest.fixture
async def clients(server: Served) -> AsyncIterator[dict[str, Any]]:
    """One connection of everybody, by name; `room` has no identity."""
    opened = {"room": await server.connect("/room")}
    for user, what in (("ann", "a"), ("amy", "a"), ("bob", "b")):
        headers = {"Authorization": f"Bearer {TOKENS[user]}"}
        opened[user] = await server.connect(f"/mine/{what}", additional_headers=headers)
    yield opened
    for client in opened.values():
        await client.close()


async def ended(clients: dict[str, Any], names: set[str]) -> set[tuple[int, str]]:
    """Wait for these to be closed, look that no other is, and give the codes and reasons."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for name in names:
            await clients[name].wait_closed()
        for name in clients.keys() - names:
            await clients[name].send("here")
            assert await clients[name].recv() == "here"
    return {(clients[name].close_code, clients[name].close_reason) for name in names}


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"user": "ann"}, {"ann"}),
        ({"user": "nobody"}, set()),
        ({"route": "room"}, {"room"}),
        ({"route": "mine"}, {"ann", "amy", "bob"}),
        ({"route": "/room"}, set()),
        ({"group": "news"}, {"room"}),
        ({"group": "what:a"}, {"ann", "amy"}),
        ({"group": "what:"}, set()),
        ({"claims": {"role": "guest"}}, {"amy", "bob"}),
        ({"claims": {"teams": "blue"}}, {"ann", "amy"}),
        ({"claims": {"teams": ["blue"]}}, {"amy"}),
        ({"claims": {"level": 1}}, {"bob"}),
        ({"claims": {"level": True}}, set()),
        ({"claims": {"role": "guest", "teams": "blue"}}, {"amy"}),
        ({"group": "what:a", "claims": {"role": "guest"}}, {"amy"}),
        ({"user": "ann", "group": "what:a", "route": "mine", "claims": {"role": "admin"}}, {"ann"}),
        ({"user": "ann", "group": "what:b"}, set()),
        ({"user": "ann", "route": "room"}, set()),
        ({"user": "ann", "claims": None, "group": None}, {"ann"}),
        ({"connection": "0000000000-1"}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
async def test_who_is_disconnected(
    server: Served,
    call: Callable[..., Awaitable[Any]],
    clients: dict[str, Any],
    selection: dict[str, Any],
    names: set[str],
) -> None:
    """Those that all parts of the selection fit are closed with 4410, nobody else is; the answer counts."""
    answer = await call(selection)
    assert answer == {"node": server.node.name, "connections": len(names)}
    assert await ended(clients, names) <= {(4410, "disconnected")}
    (line,) = [line for line in server.log if line["event"] == "api_disconnected"]
    assert (line["level"], line["caller"], line["connections"], line["code"]) == (
        "info",
        "ops",
        len(names),
        4410,
    )


async def test_one_connection(
    server: Served, call: Callable[..., Awaitable[Any]], clients: dict[str, Any]
) -> None:
    """A connection is closed by its id; with another's user besides, it is not."""
    identifiers = {one.identity.user if one.identity else "room": one.id for one in server.node.connections()}
    assert (await call({"connection": identifiers["amy"], "user": "bob"}))["connections"] == 0
    assert (await call({"connection": identifiers["amy"]}))["connections"] == 1
    assert await ended(clients, {"amy"}) == {(4410, "disconnected")}
    assert (await call({"connection": identifiers["amy"]}))["connections"] == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": 1000}, (1000, "disconnected")),
        ({"code": 3000, "reason": ""}, (3000, "")),
        ({"code": 4999, "reason": "besetzt, 世"}, (4999, "besetzt, 世")),
        ({"reason": "世" * 123}, (4410, "世" * 41)),
        ({"code": 1012}, (1012, "disconnected")),
    ],
    ids=str,
)
async def test_codes_and_reasons(
    call: Callable[..., Awaitable[Any]], clients: dict[str, Any], body: dict[str, Any], expected: Any
) -> None:
    """Any code that may be sent goes out, with a reason of at most 123 bytes."""
    await call({"user": "ann"} | body)
    assert await ended(clients, {"ann"}) == {expected}


NEEDED = "at least one of user, connection, route, group and claims is needed"
NO_CODE = "code: no close code that may be sent (rfc 6455 section 7.4)"
OURS = "group: groups whose names begin with $ are the gateway's own"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body is not json: EOF while parsing a value at line 1 column 0"),
        (b"hunter2", "body is not json: expected value at line 1 column 1"),
        (b'"hunter2"', "not a mapping"),
        ([], "not a mapping"),
        ({}, NEEDED),
        ({"user": None}, NEEDED),
        ({"code": 4000}, NEEDED),
        ({"user": ""}, "user: too short, at least 1 characters"),
        ({"user": "h" * 513}, "user: too long, at most 512 characters"),
        ({"user": 5}, "user: not a text, put it in quotes"),
        ({"user": ["hunter2"]}, "user: not a text"),
        ({"user": "*", "usr": "hunter2"}, "unknown key (did you mean 'user'?)"),
        ({"hunter2": 1}, "unknown key"),
        ({"everyone": True}, "unknown key"),
        ({"group": "$everyone"}, OURS),
        ({"group": "$user:ann"}, OURS),
        ({"claims": {}}, "claims: too few entries: 0, at least 1"),
        ({"claims": ["hunter2"]}, "claims: not a mapping"),
        (b'{"claims": {"x": NaN}}', "claims: holds a number that json has no form for"),
        (b'{"claims": {"x": [-Infinity]}}', "claims: holds a number that json has no form for"),
        ({"user": "ann", "code": 1005}, NO_CODE),
        ({"user": "ann", "code": 1006}, NO_CODE),
        ({"user": "ann", "code": 999}, NO_CODE),
        ({"user": "ann", "code": 5000}, NO_CODE),
        ({"user": "ann", "code": -4410}, NO_CODE),
        ({"user": "ann", "code": "4410"}, "code: not a whole number, leave out its quotes"),
        ({"user": "ann", "code": 4410.0}, "code: not a whole number"),
        ({"user": "ann", "code": True}, "code: not a whole number"),
        ({"user": "ann", "code": None}, "code: not a whole number"),
        ({"user": "ann", "reason": 5}, "reason: not a text, put it in quotes"),
        ({"user": "ann", "reason": "h" * 124}, "reason: too long, at most 123 characters"),
        (b'{"user": "ann", "reason": "\\ud800"}', None),
        (b'{"user": "\xff"}', None),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else "",
)
async def test_a_malformed_body(
    server: Served,
    call: Callable[..., Awaitable[Any]],
    clients: dict[str, Any],
    body: Any,
    message: str | None,
) -> None:
    """Each fault is told in a line, without what the body held; nobody is disconnected."""
    answer = await call(body, 400)
    assert set(answer) == {"error", "message"}
    assert answer["error"] == "bad_request"
    assert message is None or answer["message"] == message
    assert "hunter2" not in json.dumps(answer)
    assert len(server.node.hub) == 4
    assert await ended(clients, set()) == set()


async def test_a_body_over_the_limit(call: Callable[..., Awaitable[Any]], clients: dict[str, Any]) -> None:
    """What is longer than `max_body_bytes` is 413."""
    answer = await call({"user": "ann", "claims": {"x": "x" * 2000}}, 413)
    assert answer == {"error": "body_too_big", "message": "body too big, limit 2000 bytes"}
    assert await ended(clients, set()) == set()


@pytest.mark.parametrize("path", ["/api/disconnect", "/api/revoke"])
async def test_only_with_credentials(
    server: Served, http: ClientSession, clients: dict[str, Any], path: str
) -> None:
    """Without the API's token nobody is disconnected, and the body is not even judged."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKENS['ann']}"}):
        for body in ({"user": "ann"}, {"nonsense": 1}):
            async with http.post(server.http_url(path), json=body, headers=headers) as response:
                assert response.status == 401
                assert response.headers["www-authenticate"] == "Bearer"
    async with http.get(server.http_url(path), headers=BEARER) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
    assert await ended(clients, set()) == set()


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (BrokerUnavailableError("too many notes wait to be sent"), 503, "broker_unavailable"),
        (MessageTooBigError(5000, 4000), 413, "message_too_big"),
    ],
    ids=["unavailable", "too-big"],
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/publish", {"user": "ann", "data": 1}),
        ("/api/disconnect", {"user": "ann"}),
        ("/api/revoke", {"user": "ann"}),
    ],
)
async def test_a_broker_that_takes_nothing(
    server: Served,
    http: ClientSession,
    clients: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: Any,
    error: Exception,
    status: int,
    name: str,
) -> None:
    """Where the broker refuses, the answer says so, and nothing has been done: the caller may try again."""

    def refuse(_: Any) -> int:
        raise error

    monkeypatch.setattr(server.node.broker, "notify", refuse)
    monkeypatch.setattr(server.node.broker, "publish", refuse)
    async with http.post(server.http_url(path), json=body, headers=BEARER) as response:
        assert (response.status, await response.json()) == (status, {"error": name, "message": str(error)})
        assert ("retry-after" in response.headers) is (status == 503)
    assert len(server.node.revocations) == 0
    assert await ended(clients, set()) == set()
