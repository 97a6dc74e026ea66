"""A broker whose name does not resolve for a while: over each engine."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from nodes import LINKED, until
from websockets.asyncio.client import connect

from gateway.testing import serve

if TYPE_CHECKING:
    from pathlib import Path

    from nodes import Servers

NAME = "broker.test"
CONFIGURATION = """
listen: {{drain_seconds: 0}}
broker: {{type: {kind}, urls: ["{kind}://{name}:{port}"], probe_interval_seconds: 0.05}}
routes: [{{path: /echo, handlers: [echo], allow_missing_origin: true}}]
"""


class Resolver:
    """The system's resolver, but for one name."""

    def __init__(self) -> None:
        self.knows = False
        """Whether it knows the name."""
        self.asked = 0
        """How often it was asked for it."""
        self._system = socket.getaddrinfo

    def resolve(self, host: Any, *arguments: Any, **options: Any) -> Any:
        """Resolve a name as `socket.getaddrinfo` does."""
        if host not in {NAME, NAME.encode()}:
            return self._system(host, *arguments, **options)
        self.asked += 1
        if not self.knows:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._system("127.0.0.1", *arguments, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """A resolver that does not know the name at first."""
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.resolve)
    return made


@pytest.mark.parametrize("kind", LINKED)
def test_the_name_is_unknown_at_first(
    tmp_path: Path, servers: Servers, resolver: Resolver, kind: str
) -> None:
    """The node serves what it has, is not ready and says why; it asks again until the name is known."""
    port = getattr(servers, kind).port
    # On Python's own event loop: uvloop resolves names in C, where no test comes between.
    asyncio.run(_live_through(tmp_path, resolver, kind, port))


async def _live_through(folder: Path, resolver: Resolver, kind: str, port: int) -> None:
    text = CONFIGURATION.format(kind=kind, name=NAME, port=port)
    async with serve(folder, text) as served, aiohttp.ClientSession() as http:

        async def ready() -> tuple[int, str]:
            async with http.get(served.http_url("/readyz")) as answer:
                return answer.status, (await answer.json())["status"]

        lines = [line for line in served.log if line["event"] == "broker_unreachable"]
        assert (lines[0]["level"], lines[0]["server"]) == ("warning", f"{NAME}:{port}")
        assert "Name or service not known" in lines[0]["why"]
        assert await ready() == (503, "broker down")
        async with connect(served.url("/echo"), proxy=None) as client:
            await client.send("here")
            assert await client.recv() == "here"
            asked = resolver.asked
            await until(lambda: resolver.asked > asked)
            resolver.knows = True
            await until(lambda: not served.node.broker_is_down)
            assert await ready() == (200, "ready")
            await client.send("still here")
            assert await client.recv() == "still here"
