"""Tests of the gate: what it accepts, and how it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    subprotocols: [chat.v2, chat.v1]
  - path: /chat/{room}
    handlers: [echo, witness]
    allow_missing_origin: true
"""


class Witness(Handler):
    """A handler that tells of each connection in its first message."""

    def on_open(self, connection: Connection) -> None:
        """Tell what the opening handshake gave."""
        connection.send_json(
            {
                "route": connection.route,
                "path": connection.path,
                "params": dict(connection.params),
                "query": connection.request.query,
                "header": connection.request.get_all("X-Header"),
                "cookies": dict(connection.request.cookies),
                "remote": connection.remote,
            }
        )


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve the routes of this module."""
    return await start(ROUTES, handlers={"witness": Witness})


async def test_variants(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """What clients write differently, and proxies add, is the same opening handshake."""
    for fields in (
        {},
        {"connection": "keep-alive, Upgrade"},  # Firefox
        {"connection": "UPGRADE", "upgrade": "WebSocket"},
        {"connection": ",keep-alive,\t,upgrade ,", "upgrade": "h2c, websocket"},
        {"content_length": "0"},
        {"sec_websocket_extensions": "permessage-deflate; client_max_window_bits"},
        {"sec_websocket_version": "\t13 "},
        {"expect": "100-continue"},
        {"authorization": "Bearer nobody-asks-for-it"},
    ):
        with subtests.test(**fields):
            await accepted(await ask(server, opening(**fields)))


async def test_an_empty_line_before_it(
    server: Any, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """One empty line before the request is ignored (RFC 9112 section 2.2)."""
    await accepted(await ask(server, b"\r\n" + opening()))


async def test_two_connection_fields(
    server: Any, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """The tokens of several Connection fields are one list."""
    await accepted(await ask(server, opening("/echo", "Connection: keep-alive", connection="upgrade")))


async def test_absolute_form(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """The absolute form of a target means its path, where it names the authority that Host names."""
    for target in ("http://localhost/echo", "ws://LOCALHOST/echo?a=b", "WSS://localhost/echo"):
        with subtests.test(target=target):
            await accepted(await ask(server, opening(target)))


async def test_header_in_single_bytes(
    server: Any, dial: Callable, opening: Callable, accepted: Callable
) -> None:
    """It does not matter how the header is cut."""
    wire = await dial(server)
    for value in opening():
        wire.send(bytes([value]))
        await asyncio.sleep(0)  # a turn of the loop for each, so that most come alone
    await accepted(wire)


async def test_path_and_query(
    server: Any, ask: Callable, opening: Callable, until: Callable, subtests: pytest.Subtests
) -> None:
    """Handlers see the decoded path and its parameters, and the query as it came."""
    for target, path, query in (
        ("/chat/lobby", "/chat/lobby", ""),
        ("/chat/lobby?", "/chat/lobby", ""),
        ("/chat/%E5%A4%A7%E5%8E%85?name=%E6%9D%8E&x=//..", "/chat/大厅", "name=%E6%9D%8E&x=//.."),
        ("/chat/a%20b", "/chat/a b", ""),
        ("/chat/a+b", "/chat/a+b", ""),
        ("/chat/100%25", "/chat/100%", ""),
        ("/chat/%252F", "/chat/%2F", ""),  # decoded once
        ("/chat/%3Fa=b%23c", "/chat/?a=b#c", ""),
        ("/%63hat/...", "/chat/...", ""),
        ("/chat/a;b=c,d:@!$&'()*", "/chat/a;b=c,d:@!$&'()*", ""),
    ):
        with subtests.test(target=target):
            wire = await ask(server, opening(target, "X-Header: one", "X-Header: two", "Cookie: a=b"))
            assert (await wire.answer()).status == 101
            assert await wire.message() == {
                "route": "/chat/{room}",
                "path": path,
                "params": {"room": path.removeprefix("/chat/")},
                "query": query,
                "header": ["one", "two"],
                "cookies": {"a": "b"},
                "remote": "127.0.0.1",
            }


async def test_subprotocol(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """The route's most wanted subprotocol of those offered is answered, and nothing else."""
    for chosen, offers in (
        (None, []),
        ("chat.v1", ["chat.v1"]),
        ("chat.v2", ["chat.v1, chat.v2"]),  # the server's preference
        ("chat.v2", ["other", "chat.v1,chat.v3", " chat.v2\t"]),
        (None, ["other, bearer.secret"]),
        ("chat.v1", ["chat.v1, bearer.secret"]),
        ("chat.v1", [", ,,chat.v1,,"]),
        ("chat.v1", ['chat.v2;x, "chat.v2", chat.v1']),
    ):
        with subtests.test(offers=offers):
            lines = (f"Sec-WebSocket-Protocol: {offer}" for offer in offers)
            await accepted(await ask(server, opening("/echo", *lines)), subprotocol=chosen)
            assert server.node.connections()[-1].subprotocol == chosen


async def test_junk_offers_are_declined(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """Eight KiB of separators are an offer of nothing."""
    for field in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        for text in (" ", ",", '"', ' , ", ;='):
            with subtests.test(field=field, text=text):
                room = 8192 - len(opening("/echo", f"{field}: ")) + len("\r\n\r\n")
                await accepted(await ask(server, opening("/echo", f"{field}: {(text * room)[:room]}")))


async def test_bad_extension_offers_are_declined(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """An offer of an extension that breaks its rules is declined, not refused (RFC 7692 section 5.1)."""
    for offer in (
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; unknown=1",
    ):
        with subtests.test(offer=offer):
            await accepted(await ask(server, opening(sec_websocket_extensions=offer)))
