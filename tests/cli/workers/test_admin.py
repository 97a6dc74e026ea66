"""Tests of the operators' listener of several workers: each answers for all, and it stays over a reload."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway.admin.sessions import COOKIE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE_SECONDS = 20

YAML = """
    listen: {port: 0, workers: 2, drain_seconds: 0}
    admin: {port: 8001}
    plugins: {live: {enabled: false}}
    api: {tokens: [{name: ops, token: ops-1}]}
    routes: [{path: /room, allow_missing_origin: true, handlers: [echo]}]
"""


class Operator:
    """An operator of a gateway that runs, each of whose requests opens a TCP connection of its own."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def ask(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """Ask whichever worker accepts."""
        fields = {"Connection": "close", **options.pop("headers", {"Authorization": "Bearer ops-1"})}
        return await self._client.request(method, self.url + path, headers=fields, **options)

    async def nodes(self, number: int) -> set[str]:
        """Wait until each of so many workers has answered, and all name the same nodes; give these."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answers = [(await self.ask("/api/nodes")).json() for _ in range(8)]
                named = {frozenset(one["node"] for one in answer["nodes"]) for answer in answers}
                answered = {answer["node"] for answer in answers}
                if len(named) == 1 and named == {frozenset(answered)} and len(answered) == number:
                    return answered


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def test_each_worker_answers_for_all(
    run: Any, write: Callable[[str], Path], command: Any, http: httpx.AsyncClient
) -> None:
    """Readings, figures, sessions and live figures are the same whichever is asked, and after a reload."""
    write(YAML)
    running = await run("--admin-port", "0")
    page, url = (await running.printed_lines(2))[-1].split()
    assert (page, url.removesuffix("/admin")) == ("admin", url[: -len("/admin")])
    operator = Operator(url.removesuffix("/admin"), http)
    former = await operator.nodes(2)
    origin = {"Origin": operator.url}
    body = {"token": "ops-1"}
    logged_in = await operator.ask("/admin/login", "POST", data=body, headers=origin)
    session = {"Cookie": f"{COOKIE}={logged_in.cookies[COOKIE]}", "X-Gateway-Admin": "1"}
    http.cookies.clear()

    async with connect(f"ws://127.0.0.1:{running.port}/room", proxy=None):
        for _ in range(8):
            found = (await operator.ask("/api/connections", headers=session)).json()
            assert (found["total"], found["complete"]) == (1, True)
        async with asyncio.timeout(PATIENCE_SECONDS):  # workers tell each other their figures once a second
            while 'gateway_connections{route="/room"} 1.0' not in (await operator.ask("/metrics")).text:
                await asyncio.sleep(0.05)
        headers = {"Authorization": "Bearer ops-1"}
        live = operator.url.replace("http", "ws") + "/admin/live"
        async with connect(live, additional_headers=headers, proxy=None) as client:
            heard: set[str] = set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while heard != former:
                    heard.add(json.loads(await client.recv()).get("node", ""))
                    heard.discard("")

    done = await asyncio.to_thread(command, "reload")
    assert done.returncode == 0, done.stderr
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await operator.nodes(2)) & former:
            pass
    assert (await operator.ask("/api/session", headers=session)).json()["name"] == "ops"
