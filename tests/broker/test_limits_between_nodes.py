"""Tests of limits on connections that hold over all gateways of a broker."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from nodes import until
from websockets.exceptions import InvalidStatus

from gateway.core import neighbours
from gateway.server import shared_counts
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nats_server import NatsServer

YAML = """
listen: {drain_seconds: 0, LIMITS}
broker: {type: nats, urls: ["URL"], probe_interval_seconds: 0.05}
routes:
  - {path: /user, allow_missing_origin: true, authenticate: [token]}
  - {path: /few, allow_missing_origin: true, max_connections: 2}
  - {path: /open, allow_missing_origin: true}
authentication: {token: {keys: [{name: a, user: ann, token: ann-1}, {name: b, user: bob, token: bob-1}]}}
"""


@pytest.fixture
async def start(
    nats_server: Callable[..., NatsServer], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """A function that serves a gateway on the test's NATS server until the test ends."""
    url = nats_server().url
    async with AsyncExitStack() as stack:

        async def start(limits: str = "") -> Served:
            folder = tmp_path / f"gateway-{secrets.token_hex(4)}"
            folder.mkdir()
            text = YAML.replace("LIMITS", limits).replace("URL", url)
            return await stack.enter_async_context(serve(folder, text))

        yield start


def knows(server: Served, kind: str, name: str, count: int) -> Callable[[], bool]:
    """Give whether a gateway knows how many connections the others have."""
    return lambda: server.gateway._listener._gate._shared.count((kind, name)) == count


def connect(server: Served, path: str, user: str = "") -> Any:
    """Connect to a route."""
    headers = {"Authorization": f"Bearer {user}-1"} if user else {}
    return server.connect(path, additional_headers=headers)


async def refusal(server: Served, path: str, user: str = "") -> tuple[int, str]:
    """Give the status and error of a refused opening handshake."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(server, path, user)
    response = caught.value.response
    assert int(response.headers["Retry-After"]) > 0
    return response.status_code, response.body.decode().split('"')[3]


async def test_a_user_is_counted_over_nodes(start: Callable[..., Awaitable[Served]]) -> None:
    """Connections of a user to one gateway count at the other, until they end; another user's do not."""
    one, two = await start("max_connections_per_user: 1"), await start("max_connections_per_user: 1")
    async with connect(one, "/user", "ann"):
        await until(knows(two, "user", "ann", 1))
        assert await refusal(two, "/user", "ann") == (429, "too_many_connections_of_user")
        async with connect(two, "/user", "bob"):
            pass
    await until(knows(two, "user", "ann", 0))
    async with connect(two, "/user", "ann"):
        await until(knows(one, "user", "ann", 1))
        assert await refusal(one, "/user", "ann") == (429, "too_many_connections_of_user")


async def test_addresses_and_routes_are_counted_over_nodes(start: Callable[..., Awaitable[Served]]) -> None:
    """So are those of an address, and those on a route with a limit of its own."""
    one, two = await start("max_connections_per_address: 3"), await start("max_connections_per_address: 3")
    async with connect(one, "/few"), connect(two, "/few"):
        await until(knows(one, "route", "/few", 1))
        await until(knows(two, "route", "/few", 1))
        assert await refusal(one, "/few") == (503, "too_many_connections_on_route")
        async with connect(one, "/open"):
            await until(knows(two, "address", "127.0.0.1", 2))
            assert await refusal(two, "/open") == (429, "too_many_connections_from_address")


async def test_a_newcomer_learns_what_there_is(start: Callable[..., Awaitable[Served]]) -> None:
    """A gateway that starts later asks, and is told what the others have."""
    one = await start("max_connections_per_user: 1")
    async with connect(one, "/user", "ann"):
        two = await start("max_connections_per_user: 1")
        await until(knows(two, "user", "ann", 1))
        assert await refusal(two, "/user", "ann") == (429, "too_many_connections_of_user")


async def test_a_node_that_falls_silent_is_forgotten(
    start: Callable[..., Awaitable[Served]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a gateway said that is gone without a word does not count for long; when it is back, it does."""
    monkeypatch.setattr(shared_counts, "BEAT_SECONDS", 0.05)
    one, two = await start("max_connections_per_user: 2"), await start("max_connections_per_user: 2")
    async with connect(one, "/user", "ann"):
        await until(knows(two, "user", "ann", 1))
        monkeypatch.setattr(neighbours, "SILENT_SECONDS", -1.0)
        await until(lambda: not two.gateway._listener._gate._shared._others)
        assert knows(two, "user", "ann", 0)()
        monkeypatch.setattr(neighbours, "SILENT_SECONDS", 7.0)
        await until(knows(two, "user", "ann", 1))


@pytest.mark.parametrize(
    "note",
    [
        {"order": "counts"},
        {"order": "counts", "node": "", "counts": []},
        {"order": "counts", "node": "n", "counts": [["user", "ann", -1]]},
        {"order": "counts", "node": "n", "counts": [["group", "ann", 1]]},
        {"order": "counts", "node": "n", "counts": [["user", "a" * 513, 1]]},
        {"order": "counts", "node": "n", "counts": [["user", "ann"]]},
        {"order": "counts", "node": "n", "counts": [["user", "ann", 1]] * 501},
        {"order": "counts", "node": "n", "counts": [["user", "ann", 1]], "more": 1},
    ],
    ids=["nothing", "no node", "negative", "kind", "long", "short", "many", "more"],
)
async def test_a_poisoned_note_changes_nothing(start: Callable[..., Awaitable[Served]], note: dict) -> None:
    """A note that is none is refused, and counts for nothing."""
    server = await start("max_connections_per_user: 1")
    shared = server.gateway._listener._gate._shared
    with pytest.raises(ValueError, match="not a note of counts"):
        server.node.note_takers["counts"](note)
    assert (len(shared._others), dict(shared._total)) == (0, {})
