"""Tests of `GET /api/presence` on one gateway: what it answers, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

YAML = """
routes: [{path: "/in/{group}", allow_missing_origin: true, groups: ["{group}"]}]
groups:
  - {pattern: kept, presence: true}
  - {pattern: crowd, presence: count}
api: {tokens: [{name: ops, token: ops-1}]}
"""


@pytest.fixture
async def ask(serve_gateway: Callable) -> AsyncIterator[Any]:
    """A function that asks a gateway; its `server` is the gateway."""
    server = await serve_gateway(YAML)
    async with aiohttp.ClientSession() as http:

        async def ask(query: str, token: str = "ops-1") -> tuple[int, dict[str, Any]]:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.get(server.http_url(f"/api/presence{query}"), headers=headers) as answer:
                return answer.status, await answer.json()

        ask.server = server
        yield ask


async def test_members_are_listed(ask: Any) -> None:
    """In the order of their coming, as many as are asked for, and whether there are more."""
    server = ask.server
    async with server.connect("/in/kept"), server.connect("/in/kept"), server.connect("/in/kept"):
        members = server.node.presence("kept")
        status, answer = await ask("?group=kept&limit=2")
        assert (status, answer["group"], answer["connections"], answer["more"]) == (200, "kept", 3, True)
        assert answer["members"] == [
            {"id": m.id, "user": None, "connections": 1, "since": m.since, "claims": {}, "details": {}}
            for m in members[:2]
        ]
        status, answer = await ask("?group=kept")
        assert (len(answer["members"]), answer["more"]) == (3, False)
        assert await ask("?group=kept&count=true") == (
            200,
            {"node": server.node.name, "group": "kept", "connections": 3},
        )
    async with server.connect("/in/crowd"):
        assert (await ask("?group=crowd&count=1"))[1]["connections"] == 1
    assert (await ask("?group=kept"))[1]["members"] == []


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("", 400, "bad_request"),
        ("?group=", 400, "bad_request"),
        ("?group=$everyone", 400, "bad_request"),
        ("?group=kept&group=crowd", 400, "bad_request"),
        ("?group=kept&limit=0", 400, "bad_request"),
        ("?group=kept&limit=10001", 400, "bad_request"),
        ("?group=kept&count=perhaps", 400, "bad_request"),
        ("?group=kept&grup=x", 400, "bad_request"),
        ("?group=other", 404, "no_presence"),
        ("?group=other&count=true", 404, "no_presence"),
        ("?group=crowd", 404, "no_presence"),
    ],
)
async def test_bad_questions(ask: Any, query: str, status: int, error: str) -> None:
    """A question that is none, or about what is not known, is refused by its name."""
    found, answer = await ask(query)
    assert (found, answer["error"]) == (status, error)


async def test_it_needs_a_token(ask: Any) -> None:
    """As the rest of the API."""
    assert (await ask("?group=kept", token="wrong"))[0] == 401
