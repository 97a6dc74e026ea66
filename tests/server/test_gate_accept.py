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


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"connection": "keep-alive, Upgrade"},  # Firefox
        {"connection": "UPGRADE", "upgrade": "WebSocket"},
        {"connection": ",keep-alive,\t,upgrade ,", "upgrade": "h2c, websocket"},
        {"content_length": "0"},
        {"sec_websocket_extensions": "permessage-deflate; client_max_window_bits"},
        {"sec_websocket_version": "\t13 "},
        {"expect": "100-continue"},
        {"authorization": "Bearer nobody asks for it"},
    ],
    ids=str,
)
async def test_variants(
    server: Any, dial: Callable, opening: Callable, accepted: Callable, fields: dict[str, str]
) -> None:
    """What clients write differently, and proxies add, is the same opening handshake."""
    wire = await dial(server)
    wire.send(opening(**fields))
    await accepted(wire)
    assert server.node.metrics.connections == 1


async def test_an_empty_line_before_it(
    server: Any, dial: Callable, opening: Callable, accepted: Callable
) -> None:
    """One empty line before the request is ignored (RFC 9112 section 2.2)."""
    wire = await dial(server)
    wire.send(b"\r\n" + opening())
    await accepted(wire)


async def test_header_of_two_connection_fields(
    server: Any, dial: Callable, opening: Callable, accepted: Callable
) -> None:
    """The tokens of several Connection fields are one list."""
    wire = await dial(server)
    wire.send(opening("/echo", "Connection: keep-alive", connection="upgrade"))
    await accepted(wire)


@pytest.mark.parametrize("target", ["http://localhost/echo", "ws://LOCALHOST/echo?a=b", "WSS://localhost/echo"])
async def test_absolute_form(
    server: Any, dial: Callable, opening: Callable, accepted: Callable, target: str
) -> None:
    """The absolute form of a target means its path, where it names the authority that Host names."""
    wire = await dial(server)
    wire.send(opening(target))
    await accepted(wire)


async def test_header_in_single_bytes(
    server: Any, dial: Callable, opening: Callable, accepted: Callable
) -> None:
    """It does not matter how the header is cut."""
    wire = await dial(server)
    for value in opening():
        wire.send(bytes([value]))
        await asyncio.wait_for(wire.writer.drain(), 10)
    await accepted(wire)


@pytest.mark.parametrize(
    ("target", "path", "room", "query"),
    [
        ("/chat/lobby", "/chat/lobby", "lobby", ""),
        ("/chat/lobby?", "/chat/lobby", "lobby", ""),
        ("/chat/%E5%A4%A7%E5%8E%85?name=%E6%9D%8E&x=//..", "/chat/大厅", "大厅", "name=%E6%9D%8E&x=//.."),
        ("/chat/a%20b", "/chat/a b", "a b", ""),
        ("/chat/a+b", "/chat/a+b", "a+b", ""),
        ("/chat/100%25", "/chat/100%", "100%", ""),
        ("/chat/%252F", "/chat/%2F", "%2F", ""),  # decoded once
        ("/chat/%3Fa=b%23c", "/chat/?a=b#c", "?a=b#c", ""),
        ("/%63hat/...", "/chat/...", "...", ""),
        ("/chat/a;b=c,d:@!$&'()*", "/chat/a;b=c,d:@!$&'()*", "a;b=c,d:@!$&'()*", ""),
    ],
)
async def test_path_and_query(
    server: Any, dial: Callable, opening: Callable, target: str, path: str, room: str, query: str
) -> None:
    """Handlers see the decoded path and its parameters, and the query as it came."""
    wire = await dial(server)
    wire.send(opening(target, "X-Header: one", "X-Header: two", "Cookie: a=b"))
    assert (await wire.answer()).status == 101
    connection = server.node.connections()[0]
    assert (connection.route, connection.path, dict(connection.params)) == ("/chat/{room}", path, {"room": room})
    assert connection.request.query == query
    assert connection.request.get_all("X-Header") == ["one", "two"]
    assert connection.request.cookies == {"a": "b"}
    assert connection.remote == "127.0.0.1"


async def test_answer_and_first_message_leave_together(server: Any, dial: Callable, opening: Callable) -> None:
    """What the open event sends comes right behind the answer."""
    wire = await dial(server)
    wire.send(opening("/chat/lobby"))
    assert (await wire.answer()).status == 101
    first, length = await asyncio.wait_for(wire.reader.readexactly(2), 10)
    assert (first, 0 < length < 127) == (0x81, True) or length == 126


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ([], None),
        (["chat.v1"], "chat.v1"),
        (["chat.v1, chat.v2"], "chat.v2"),  # the server's preference
        (["other", "chat.v1,chat.v3", " chat.v2\t"], "chat.v2"),
        (["other, bearer.secret"], None),
        (["chat.v1, bearer.secret"], "chat.v1"),
        ([", ,,chat.v1,,"], "chat.v1"),
        (['chat.v2;x, "chat.v2", chat.v1'], "chat.v1"),
    ],
)
async def test_subprotocol(
    server: Any, dial: Callable, opening: Callable, accepted: Callable, offers: list[str], chosen: str | None
) -> None:
    """The route's most wanted subprotocol of those offered is answered, and nothing else."""
    wire = await dial(server)
    wire.send(opening("/echo", *(f"Sec-WebSocket-Protocol: {offer}" for offer in offers)))
    await accepted(wire, subprotocol=chosen)
    assert server.node.connections()[0].subprotocol == chosen


@pytest.mark.parametrize("field", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
@pytest.mark.parametrize("text", [" ", ",", '"', ' , ", ;='])
async def test_junk_offers_are_declined(
    server: Any, dial: Callable, opening: Callable, accepted: Callable, field: str, text: str
) -> None:
    """Eight KiB of separators are an offer of nothing."""
    wire = await dial(server)
    room = 8192 - len(opening("/echo", f"{field}: ")) + len("\r\n\r\n")
    wire.send(opening("/echo", f"{field}: {(text * room)[:room]}"))
    await accepted(wire)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; unknown=1",
    ],
)
async def test_bad_extension_offers_are_declined(
    server: Any, dial: Callable, opening: Callable, accepted: Callable, offer: str
) -> None:
    """An offer of an extension that breaks its rules is declined, not refused (RFC 7692 section 5.1)."""
    wire = await dial(server)
    wire.send(opening(sec_websocket_extensions=offer))
    await accepted(wire)
