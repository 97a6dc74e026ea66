"""The broadcast server of the author's guide: with tornado and as a handler, by one conversation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import yaml
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.asyncio.client import ClientConnection

ORIGINS: Final = ("http://example.com", "https://example.com", "http://example.com:8080")
"""Of pages on one host; the guide's table tells of the last one."""
GUIDE: Final = Path(__file__).parents[2] / "plugins" / "README.md"


def examples() -> Iterator[str]:
    """Give the two servers, and the route of one, as the guide shows them."""
    section = GUIDE.read_text(encoding="utf-8").partition("\n### Moving a tornado")[2].partition("\n## ")[0]
    for kind in ("python", "yaml"):
        yield from re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def load(name: str, code: str) -> ModuleType:
    """Make a module."""
    module = ModuleType(name)
    exec(compile(code, str(GUIDE), "exec"), module.__dict__)  # noqa: S102 - our own document
    return module


async def hold(url: str) -> list[Any]:
    """Hold the conversation; give all that the clients heard, in order."""
    heard: list[Any] = []

    async def hear(*clients: ClientConnection) -> None:
        for client in clients:
            try:
                heard.append(json.loads(await client.recv()))
            except ConnectionClosed as closed:
                heard.append((closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else None)

    def come(name: str, origin: Any = "http://example.com") -> connect:
        return connect(f"{url}?name={name}", origin=origin, proxy=None)

    for origin in ("http://example.org", "http://sub.example.com", "null"):
        try:
            await come("eve", origin)
        except InvalidStatus as refused:
            heard.append((origin, refused.response.status_code))
    async with come("ada") as ada:
        await hear(ada)
        bob = await come("bob")
        await hear(ada, bob)
        async with come("bob", origin=None) as also_bob:
            await hear(ada, bob, also_bob)
            await ada.send(json.dumps({"text": "to all: 你好"}))
            await hear(ada, bob, also_bob)
            await ada.send(json.dumps({"text": "to bob", "to": "bob"}).encode())
            await hear(bob, also_bob)
            await ada.send(json.dumps({"text": "to nobody", "to": "carol"}))
            await also_bob.send(json.dumps({"text": "to ada", "to": "ada"}))
            await hear(ada)
        await hear(ada, bob)
        bob.transport.abort()
        await hear(ada)
        async with come("eve") as eve:
            await hear(ada, eve)
            await eve.send(json.dumps({"quit": True}))
            await hear(eve, ada)
        for name in ("%20eve%20", "first&name=eve", ""):
            async with come(name) as eve:
                await hear(ada, eve)
            await hear(ada)
    return heard


async def judged(url: str, origin: str) -> int:
    """Give the status with which a page of an origin is answered."""
    try:
        async with connect(f"{url}?name=ada", origin=origin, proxy=None) as client:  # type: ignore[arg-type]
            await client.recv()
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


async def test_a_tornado_server_moves_over(tmp_path: Path) -> None:
    """Both servers say the same to everybody, but for the port of an origin, which the guide's table has."""
    before, after, route = examples()
    server = HTTPServer(load("before", before).make_app())
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        url = f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/broadcast"
        expected = await hold(url)
        assert [await judged(url, origin) for origin in ORIGINS] == [101, 101, 101]
    finally:
        server.stop()
        await server.close_all_connections()
    config = yaml.safe_load(route) | {"plugins": {"live": {"enabled": False}}}
    async with serve(tmp_path, json.dumps(config), plugins=[load("after", after)]) as served:
        assert await hold(served.url("/broadcast")) == expected
        assert [await judged(served.url("/broadcast"), origin) for origin in ORIGINS] == [101, 101, 403]
        assert served.errors == []
    (tmp_path / "more").mkdir()
    config["routes"][0]["allowed_origins"].append(ORIGINS[-1])
    async with serve(tmp_path / "more", json.dumps(config), plugins=[load("after", after)]) as served:
        assert [await judged(served.url("/broadcast"), origin) for origin in ORIGINS] == [101, 101, 101]
    assert expected == [
        *(("http://example.org", 403), ("http://sub.example.com", 403), ("null", 403)),
        {"joined": "ada"},
        *[{"joined": "bob"}] * 2,
        *[{"joined": "bob"}] * 3,
        *[{"from": "ada", "text": "to all: 你好"}] * 3,
        *[{"from": "ada", "text": "to bob"}] * 2,
        {"from": "bob", "text": "to ada"},
        *[{"left": "bob"}] * 2,
        {"left": "bob"},
        *[{"joined": "eve"}] * 2,
        *((4001, "bye"), {"left": "eve"}),
        *[{"joined": "eve"}, {"joined": "eve"}, {"left": "eve"}] * 2,
        *[{"joined": ""}, {"joined": ""}, {"left": ""}],
    ]
