"""Tests of the health checks: alive, ready, and no more ready while draining."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Handler
from gateway.testing import serve

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from gateway.testing import Served


@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
async def test_a_serving_node_is_alive_and_ready(
    server: Served, http: ClientSession, path: str, status: str
) -> None:
    """Both checks need no credentials and are never cached."""
    async with http.get(server.http_url(path)) as response:
        assert response.status == 200
        assert await response.json() == {"status": status}
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_head_is_answered_like_get(server: Served, http: ClientSession, path: str) -> None:
    """Load balancers that ask with HEAD get the status without a body."""
    async with http.head(server.http_url(path)) as response:
        assert response.status == 200
        assert await response.read() == b""


async def test_a_draining_node_is_alive_and_not_ready(tmp_path: Path, http: ClientSession) -> None:
    """From the first moment of a stop `/readyz` says 503, to whoever still has a connection, and it lives."""
    leaving = asyncio.Event()
    let_go = asyncio.Event()

    class Slow(Handler):
        async def on_close(self, connection: Any, code: int, reason: str) -> None:
            leaving.set()
            await let_go.wait()

    text = "routes: [{path: /slow, allow_missing_origin: true, handlers: [slow]}]"
    async with serve(tmp_path, text, handlers={"slow": Slow}) as server:
        ready, alive = server.http_url("/readyz"), server.http_url("/healthz")
        async with http.get(ready) as response:
            assert response.status == 200
            await response.read()
        async with server.connect("/slow"):
            stopping = asyncio.ensure_future(server.gateway.stop())
            await leaving.wait()
            async with http.get(ready) as response:
                assert response.status == 503
                assert await response.json() == {"status": "draining"}
            async with http.get(alive) as response:
                assert response.status == 200
            let_go.set()
            await stopping
