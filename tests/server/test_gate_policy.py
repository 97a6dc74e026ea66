"""Tests of the gate: the route's policy and the node's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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


async def test_origin_that_is_not_listed(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Only an origin that an entry means exactly may connect."""
    server = await start(LISTED)
    for origin in (
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
    ):
        with subtests.test(origin=origin):
            wire = await ask(server, opening(origin=origin))
            await refused(server, wire, 403, "origin_not_allowed")


async def test_the_log_names_a_refused_origin(start: Callable, ask: Callable, opening: Callable) -> None:
    """The line of a refusal has the route, once it has been found, and what the client sent for an origin."""
    server = await start(LISTED)
    long = "https://" + "a" * 400
    for origin, detail in (
        ("https://evil.example:444", "https://evil.example:444"),
        ("https://ada:hunter2@evil.example?token=hunter2", "https://...@evil.example?..."),
        ("https://evil\t.example", "https://evil?.example"),
        (long, f"{long[:197]}..."),
        ("", ""),
        (None, "no Origin"),
    ):
        wire = await ask(server, opening(origin=origin))
        assert (await wire.answer()).status == 403
        line = [line for line in server.log if line["event"] == "opening_refused"][-1]
        assert (line["route"], line["detail"]) == ("/echo", detail)
    wire = await ask(server, opening("/nowhere"))
    assert (await wire.answer()).status == 404
    line = [line for line in server.log if line["event"] == "opening_refused"][-1]
    assert "route" not in line


async def test_origin_that_is_listed(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """Case and the default port do not matter; a wildcard stands for one or more labels."""
    server = await start(LISTED)
    for origin in (
        "https://example.com",
        "HTTPS://Example.COM",
        "https://example.com:443",
        "https://a.example.org",
        "https://a.b.example.org:443",
        "http://[::1]:8080",
    ):
        with subtests.test(origin=origin):
            wire = await ask(server, opening(origin=origin))
            await accepted(wire)


async def test_two_origins(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """Two Origin fields are refused, even if both are listed, and even where any is."""
    for routes in (LISTED, ANY):
        server = await start(routes)
        wire = await ask(
            server, opening("/echo", "Origin: https://example.com", "Origin: https://example.com")
        )
        await refused(server, wire, 403, "origin_not_allowed")


async def test_no_origin(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """A request without Origin is refused where the route does not say otherwise, `*` included."""
    for routes in (OWN, LISTED, ANY):
        server = await start(routes)
        await refused(server, await ask(server, opening()), 403, "origin_not_allowed")


async def test_missing_origin_allows_no_other(
    start: Callable, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """A route that lets requests without Origin in still judges those that have one."""
    server = await start(OPEN)
    wire = await ask(server, opening(origin="https://example.com"))
    await refused(server, wire, 403, "origin_not_allowed")


async def test_any_origin(start: Callable, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """Where `*` is written any origin may connect."""
    server = await start(ANY)
    wire = await ask(server, opening(origin="https://example.net"))
    await accepted(wire)


async def test_own_origin(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, secure: bool
) -> None:
    """Unless the route says otherwise the page that the same listener served may connect."""
    scheme, default = ("https", 443) if secure else ("http", 80)
    server = await start(OWN)
    for host, origin in (
        ("localhost:8000", f"{scheme}://localhost:8000"),
        ("LOCALHOST:8000", f"{scheme}://localhost:8000"),
        ("localhost", f"{scheme}://localhost:{default}"),
        (f"localhost:{default}", f"{scheme}://localhost"),
        ("[::1]:8000", f"{scheme}://[::1]:8000"),
    ):
        await accepted(await ask(server, opening(host=host, origin=origin)))


async def test_not_the_own_origin(
    start: Callable,
    ask: Callable,
    opening: Callable,
    refused: Callable,
    secure: bool,
    subtests: pytest.Subtests,
) -> None:
    """The page's own origin is of the same scheme, host and port."""
    scheme, other = ("https", "http") if secure else ("http", "https")
    server = await start(OWN)
    for origin in (
        f"{other}://localhost:8000",
        f"{scheme}://localhost",
        f"{scheme}://localhost:8001",
        f"{scheme}://127.0.0.1:8000",
    ):
        with subtests.test(origin=origin):
            wire = await ask(server, opening(host="localhost:8000", origin=origin))
            await refused(server, wire, 403, "origin_not_allowed")


async def test_required_subprotocol_is_not_offered(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Where a subprotocol is required, an opening handshake that offers none of the route's is refused."""
    server = await start(SUBPROTOCOLS)
    for offer in (
        None,
        "",
        "chat.v3",
        "chat",
        "CHAT.V1",
        "chat.v1x, x",
        '"chat.v1"',
        "chat.v1;q=1",
    ):
        with subtests.test(offer=offer):
            wire = await ask(server, opening(sec_websocket_protocol=offer))
            await refused(server, wire, 400, "unknown_subprotocol")


async def test_too_many_connections(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, until: Callable
) -> None:
    """A connection over the limit of the node is 503, and one that has ended makes room."""
    server = await start(OPEN, listen={"max_connections": 2})
    wires = [await ask(server, opening()) for _ in range(2)]
    for wire in wires:
        await accepted(wire)
    wire = await ask(server, opening())
    answer = await wire.answer()
    assert (answer.status, answer.json["error"]) == (503, "too_many_connections")
    assert int(answer.headers["retry-after"]) > 0
    assert await wire.rest() == b""
    assert len(server.node.hub) == 2
    await wires[0].close()
    await until(lambda: len(server.node.hub) == 1)
    await accepted(await ask(server, opening()))


async def test_draining(
    start: Callable, dial: Callable, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """A node that leaves takes no new connections, and says when to come again."""
    server = await start(OPEN)
    early = await dial(server)
    server.node.draining = True
    early.send(opening())
    await refused(server, early, 503, "draining")
    answer = await refused(server, await ask(server, opening()), 503, "draining")
    assert int(answer.headers["retry-after"]) > 0
