"""Tests of what any gateway says of all: readings over nodes that share a broker, and silent nodes."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nodes import LINKED, PATIENCE_SECONDS, until
from websockets.asyncio.client import connect

from gateway.core.inquiries import Answer
from gateway.core.neighbours import BEAT_SECONDS, SILENT_SECONDS
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

YAML = """
admin: {{port: 0}}
listen: {{drain_seconds: 0}}
broker: {{type: {kind}, urls: ['{url}'], probe_interval_seconds: 0.05, prefix: "{prefix}"}}
api: {{tokens: [{{name: ops, token: ops-1}}]}}
authentication:
  token: {{keys: [{{name: a, user: ann, token: ann-1}}, {{name: b, user: bob, token: bob-1}}]}}
groups: [{{pattern: "room:*", presence: true}}]
routes:
  - path: "/in/{{room}}"
    name: in
    allow_missing_origin: true
    authenticate: [token]
    groups: ["room:{{room}}", all]
"""


@pytest.fixture
def settings(request: pytest.FixtureRequest, servers: Any, tmp_path: Path) -> str:
    """What gateways say that share a server."""
    kind = getattr(request, "param", "nats")
    return YAML.format(kind=kind, url=getattr(servers, kind).url, prefix=tmp_path.name)


@asynccontextmanager
async def gateways(folder: Path, settings: str, number: int) -> AsyncIterator[list[Served]]:
    """Serve some that know each other."""
    async with AsyncExitStack() as stack:
        served = []
        for index in range(number):
            (folder / str(index)).mkdir()
            served.append(await stack.enter_async_context(serve(folder / str(index), settings)))
        for one in served:
            await until(lambda one=one: len(one.node.inquiries.others()) == number - 1)
        yield served


async def ask(server: Served, path: str, **query: Any) -> dict[str, Any]:
    """Ask a gateway."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer ops-1"}, trust_env=False) as client:
        answer = await client.get(server.admin_url(f"/api/{path}"), params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def pages(server: Served, path: str, **query: Any) -> list[dict[str, Any]]:
    """Ask for page after page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await ask(server, path, **query)
        found += answer[path]
        if answer["next"] is None:
            return found
        query["after"] = answer["next"]


@pytest.mark.parametrize("settings", LINKED, indirect=True)
async def test_any_node_answers_for_all(tmp_path: Path, settings: str) -> None:
    """Connections, users, groups, nodes, routes and figures are those of all nodes, page by page."""
    async with gateways(tmp_path, settings, 3) as served, AsyncExitStack() as stack:
        for index, server in enumerate(served):
            for number in range(index + 1):
                user = "ann" if number == 0 else "bob"
                client = server.client(f"/in/{index}", token=f"{user}-1")
                await stack.enter_async_context(client)
        node = served[1]
        everyone = await ask(node, "connections")
        assert (everyone["total"], everyone["silent"], everyone["complete"]) == (6, [], True)
        ids = {one.id for server in served for one in server.node.connections()}
        listed = await pages(node, "connections", limit=2)
        assert [one["id"] for one in listed] == [one["id"] for one in everyone["connections"]]
        assert {one["id"] for one in listed} == ids
        assert "ann-1" not in json.dumps(everyone)
        for query, count in (
            ({"user": "ann"}, 3),
            ({"group": "room:2"}, 3),
            ({"user": "bob", "group": "room:1"}, 1),
            ({"route": "in"}, 6),
            ({"route": "out"}, 0),
            ({"search": "/IN/2"}, 3),
            ({"search": "BOB"}, 3),
        ):
            found = await ask(node, "connections", **query, limit=1)
            assert (found["total"], len(found["connections"])) == (count, min(count, 1)), query
        users = [{"user": "ann", "connections": 3}, {"user": "bob", "connections": 3}]
        assert await pages(node, "users", limit=1) == users == (await ask(node, "users"))["users"]
        assert [one["user"] for one in await pages(node, "users", search="BO")] == ["bob"]
        groups = await pages(node, "groups", limit=1)
        assert [(one["group"], one["connections"], one["presence"]) for one in groups] == [
            ("all", 6, "off"),
            ("room:0", 1, "members"),
            ("room:1", 2, "members"),
            ("room:2", 3, "members"),
        ]
        nodes = (await ask(node, "nodes"))["nodes"]
        assert {one["node"]: one["routes"] for one in nodes} == {
            server.node.name: {"in": index + 1} for index, server in enumerate(served)
        }
        assert (await ask(node, "routes"))["routes"][0]["connections"] == 6
        stats = await ask(node, "stats")
        (connections,) = stats["figures"]["gateway_connections"]
        assert (stats["nodes"], connections) == (3, {"labels": {"route": "in"}, "value": 6})
        assert {one["labels"]["worker"] for one in stats["figures"]["gateway_worker_connections"]} == {
            server.node.name for server in served
        }
        lag = stats["figures"]["gateway_loop_lag_seconds"][0]
        assert set(lag) == {"labels", "counts", "sum"}


async def test_who_is_silent_is_named(tmp_path: Path, settings: str) -> None:
    """A node that does not answer is named after a second, and what the others have is told."""
    async with gateways(tmp_path, settings, 3) as (node, other, mute):
        mute.node.inquiries.subjects["users"] = lambda _: asyncio.Event().wait()
        async with other.client("/in/1", token="ann-1"):
            answer = await ask(node, "users")
            assert answer["users"] == [{"user": "ann", "connections": 1}]
            assert (answer["silent"], answer["complete"]) == ([mute.node.name], False)
            assert (await ask(node, "nodes"))["silent"] == []
            # A part that is lost makes the whole node silent, not its answer short.
            entries = [{"user": f"user-{number}", "connections": 1} for number in range(250)]

            async def answer_much(_: Any) -> Answer:
                return Answer(entries, {"behind": 250})

            other.node.inquiries.subjects["users"] = mute.node.inquiries.subjects["users"] = answer_much
            found = await ask(node, "users", limit=1000)
            assert ([one["connections"] for one in found["users"]], found["complete"]) == ([2] * 250, True)
            lost = []
            notify = mute.node.broker.notify

            def lose_one(note: Any) -> int:
                if note.get("order") == "answer" and not lost:
                    lost.append(note)
                    return 0
                return int(notify(note))

            mute.node.broker.notify = lose_one
            found = await ask(node, "users", limit=1000)
            assert ([one["connections"] for one in found["users"]], found["silent"]) == (
                [1] * 250,
                [mute.node.name],
            )


async def test_junk_is_counted(tmp_path: Path, settings: str) -> None:
    """Notes that are no questions and no answers are dropped, and what is no entry is left out."""
    async with gateways(tmp_path, settings, 2) as (node, other):
        name = node.node.name
        answer = {"order": "answer", "to": name, "number": 1, "node": "x", "last": True, "sent": 0}
        junk: list[dict[str, Any]] = [
            {"order": "ask"},
            {"order": "ask", "node": "x", "number": 1, "subject": 1, "details": {}},
            {"order": "ask", "node": "x", "number": "1", "subject": "users", "details": {}},
            {**answer, "entries": "all", "facts": {}},
            {**answer, "entries": [1], "facts": {}},
            {**answer, "entries": [{}] * 101, "facts": {}},
            {**answer, "entries": [], "facts": {"a": "b"}},
            {"order": "watch"},
            {"order": "watch", "node": "x" * 201},
            {"order": "watch", "node": "x", "more": 1},
        ]
        for note in junk:
            with pytest.raises(ValueError, match="not a"):
                node.node._take_note(note)
        for note in (
            {"order": "ask", "node": "x", "number": 1, "subject": "new", "details": {}},
            {"order": "ask", "node": "x", "number": 1, "subject": "users", "details": {"limit": -1}},
            {**answer, "entries": [{"user": 1}], "facts": {}},
        ):
            other.node.broker.notify(note)
        other.node.inquiries.subjects["users"] = lambda _: _answered(
            [{"user": 7}, {"user": "ann", "connections": 1}]
        )
        assert (await ask(node, "users"))["users"] == [{"user": "ann", "connections": 1}]
        assert not node.node.broker.status.dropped["junk"]
        assert node.errors == other.errors == []


async def _answered(entries: list[dict[str, Any]]) -> Answer:
    return Answer(entries, {"behind": len(entries)})


async def test_live_figures_of_all(tmp_path: Path, settings: str) -> None:
    """Who looks at one node is told every second what each counts, and sees one go."""
    async with gateways(tmp_path, settings, 2) as (node, other):
        names = {node.node.name, other.node.name}
        url = f"ws://localhost:{node.admin_port}/admin/live"
        async with connect(url, additional_headers={"Authorization": "Bearer ops-1"}, proxy=None) as client:

            async def heard(kind: str) -> dict[str, Any]:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while (message := json.loads(await client.recv()))["type"] != kind:
                        pass
                return dict(message)

            found = set()
            while found != names:
                found.add((await heard("figures"))["node"])
            async with other.client("/in/1", token="ann-1"):
                while (await heard("figures"))["connections"] != 1:
                    pass
            assert other.node.hub.sizes() == [("$everyone", 0)]
            other.gateway._feed.stop()
            assert (await heard("gone"))["node"] == other.node.name
        # Nobody looks any more: then nothing is told, after five seconds at most.
        node.gateway._feed._watched_until = 0.0
        await until(lambda: node.gateway._feed._timer is None)


async def test_a_node_that_ends_is_not_waited_for(tmp_path: Path, settings: str) -> None:
    """It says so, and is forgotten before it counts as silent."""
    async with gateways(tmp_path, settings, 1) as (node,):
        (tmp_path / "other").mkdir()
        async with serve(tmp_path / "other", settings) as other:
            await until(lambda: node.node.inquiries.others() == [other.node.name])
            assert len((await ask(node, "nodes"))["nodes"]) == 2
        async with asyncio.timeout(SILENT_SECONDS - BEAT_SECONDS):
            await until(lambda: not node.node.inquiries.others())
        assert (await ask(node, "nodes"))["complete"] is True
