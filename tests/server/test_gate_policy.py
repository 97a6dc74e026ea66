"""Tests of the gate: the route's policy and the node's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = """
routes:
  - path: /echo
    handlers: [echo]
"""
LISTED = """
routes:
  - path: /echo
    handlers: [echo]
    allowed_origins: ["https://example.com", "https://*.example.org", "http://[::1]:8080"]
"""
ANY = """
routes:
  - path: /echo
    handlers: [echo]
    allowed_origins: ["*"]
"""
OPEN = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
SUBPROTOCOLS = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    subprotocols: [chat.v2, chat.v1]
    require_subprotocol: true
"""


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com.evil.org",  # a suffix behind it
        "https://evilexample.com",  # the same end, without a dot
        "https://www.example.com",  # a subdomain of an exact entry
        "https://example.co",  # a prefix of it
        "https://example.org",  # the wildcard wants a label
        "https://.example.org",
        "https://evilexample.org",
        "https://a.example.org:444",
        "http://example.com",  # another scheme
        "wss://example.com",
        "https://example.com:444",  # another port
        "https://example.com:0443x",
        "null",
        "",
        "https://user@example.com",
        "https://example.com@evil.org",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?query",
        "https://example.com https://example.com",
        "https://example.com, https://example.com",
        "example.com",
        "//example.com",
        "https://",
        "https:example.com",
        "https://example.com\\@evil.org",
        "*",
    ],
)
async def test_origin_that_is_not_listed(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, origin: str
) -> None:
    """Only an origin that an entry means exactly may connect."""
    server = await start(LISTED)
    wire = await dial(server)
    wire.send(opening(origin=origin))
    await refused(server, wire, 403, "origin_not_allowed")


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "HTTPS://Example.COM",
        "https://example.com:443",
        "https://a.example.org",
        "https://a.b.example.org:443",
        "http://[::1]:8080",
    ],
)
async def test_origin_that_is_listed(
    start: Callable, dial: Callable, opening: Callable, accepted: Callable, origin: str
) -> None:
    """Case and the default port do not matter; a wildcard stands for one or more labels."""
    server = await start(LISTED)
    wire = await dial(server)
    wire.send(opening(origin=origin))
    await accepted(wire)


async def test_two_origins(start: Callable, dial: Callable, opening: Callable, refused: Callable) -> None:
    """Two Origin fields are refused, even if both are listed, and even where any is."""
    for routes in (LISTED, ANY):
        server = await start(routes)
        wire = await dial(server)
        wire.send(opening("/echo", "Origin: https://example.com", "Origin: https://example.com"))
        await refused(server, wire, 403, "origin_not_allowed")


@pytest.mark.parametrize("routes", [OWN, LISTED, ANY], ids=["own", "listed", "any"])
async def test_no_origin(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, routes: str
) -> None:
    """A request without Origin is refused where the route does not say otherwise, `*` included."""
    server = await start(routes)
    wire = await dial(server)
    wire.send(opening())
    await refused(server, wire, 403, "origin_not_allowed")


async def test_missing_origin_allows_no_other(
    start: Callable, dial: Callable, opening: Callable, refused: Callable
) -> None:
    """A route that lets requests without Origin in still judges those that have one."""
    server = await start(OPEN)
    wire = await dial(server)
    wire.send(opening(origin="https://example.com"))
    await refused(server, wire, 403, "origin_not_allowed")


async def test_any_origin(start: Callable, dial: Callable, opening: Callable, accepted: Callable) -> None:
    """Where `*` is written any origin may connect."""
    server = await start(ANY)
    wire = await dial(server)
    wire.send(opening(origin="https://example.net"))
    await accepted(wire)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "{scheme}://localhost:8000"),
        ("LOCALHOST:8000", "{scheme}://localhost:8000"),
        ("localhost", "{scheme}://localhost:{default}"),
        ("localhost:{default}", "{scheme}://localhost"),
        ("[::1]:8000", "{scheme}://[::1]:8000"),
    ],
)
async def test_own_origin(
    start: Callable,
    dial: Callable,
    opening: Callable,
    accepted: Callable,
    secure: bool,
    host: str,
    origin: str,
) -> None:
    """Unless the route says otherwise the page that the same listener served may connect."""
    values = {"scheme": "https", "default": "443"} if secure else {"scheme": "http", "default": "80"}
    server = await start(OWN)
    wire = await dial(server)
    wire.send(opening(host=host.format(**values), origin=origin.format(**values)))
    await accepted(wire)


@pytest.mark.parametrize(
    "origin", ["{other}://localhost:8000", "{scheme}://localhost", "{scheme}://localhost:8001", "{scheme}://127.0.0.1:8000"]
)
async def test_not_the_own_origin(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, secure: bool, origin: str
) -> None:
    """The page's own origin is of the same scheme, host and port."""
    scheme, other = ("https", "http") if secure else ("http", "https")
    server = await start(OWN)
    wire = await dial(server)
    wire.send(opening(host="localhost:8000", origin=origin.format(scheme=scheme, other=other)))
    await refused(server, wire, 403, "origin_not_allowed")


@pytest.mark.parametrize("offer", [None, "", "chat.v3", "chat", "CHAT.V1", "chat.v1x, x", '"chat.v1"', "chat.v1;q=1"])
async def test_required_subprotocol_is_not_offered(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, offer: str | None
) -> None:
    """Where a subprotocol is required, an opening handshake that offers none of the route's is refused."""
    server = await start(SUBPROTOCOLS)
    wire = await dial(server)
    wire.send(opening(sec_websocket_protocol=offer))
    await refused(server, wire, 400, "unknown_subprotocol")


async def test_too_many_connections(
    start: Callable, dial: Callable, opening: Callable, accepted: Callable, until: Callable
) -> None:
    """A connection over the limit of the node is 503, and one that has ended makes room."""
    server = await start(OPEN, listen={"max_connections": 2})
    wires = [await dial(server) for _ in range(3)]
    for wire in wires[:2]:
        wire.send(opening())
        await accepted(wire)
    wires[2].send(opening())
    answer = await wires[2].answer()
    assert (answer.status, answer.json["error"]) == (503, "too_many_connections")
    assert int(answer.headers["retry-after"]) > 0
    assert await wires[2].rest() == b""
    assert len(server.node.hub) == 2
    await wires[0].close()
    await until(lambda: len(server.node.hub) == 1)
    wire = await dial(server)
    wire.send(opening())
    await accepted(wire)


async def test_draining(start: Callable, dial: Callable, opening: Callable, refused: Callable) -> None:
    """A node that leaves takes no new connections, and says when to come again."""
    server = await start(OPEN)
    wire = await dial(server)
    server.node.draining = True
    wire.send(opening())
    answer = await refused(server, wire, 503, "draining")
    assert int(answer.headers["retry-after"]) > 0
