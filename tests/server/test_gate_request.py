"""Tests of the gate: what is wrong with the request itself, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
  - path: /chat/{room}
    handlers: [echo]
    allow_missing_origin: true
"""
FRAME = b"\x81\x80\x00\x00\x00\x00"
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade, close", "sec_websocket_version": "13"}


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "DELETE", "PATCH", "get", "BREW"])
async def test_another_method_is_not_allowed(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, method: str
) -> None:
    """A WebSocket opens with GET, written so; anything else is 405 and told what is allowed."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(method=method))
    await refused(server, wire, 405, "method_not_allowed", allow="GET")


async def test_head_gets_no_body(
    start: Callable, dial: Callable, opening: Callable, refused: Callable
) -> None:
    """HEAD is 405 as well, and its answer has no body (RFC 9110 section 9.3.2)."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(method="HEAD"))
    await refused(server, wire, 405, "method_not_allowed", has_body=False, allow="GET")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.2", "HTTP/0.9", "HTTP/2.0"])
async def test_another_version_of_http(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, version: str
) -> None:
    """A WebSocket opens with HTTP/1.1 and no other version."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(version=version))
    await refused(server, wire, 400, "http_version")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        "a b",
        "user@localhost",
        "localhost:99999",
        "localhost:0",
        "localhost:",
        "localhost/echo",
        "localhost, localhost",
        "[::1",
        "löcal",
    ],
)
async def test_host_is_missing_or_malformed(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, host: str | None
) -> None:
    """A request without exactly one valid Host is refused."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(host=host))
    await refused(server, wire, 400, "bad_host")


async def test_host_twice(start: Callable, dial: Callable, opening: Callable, refused: Callable) -> None:
    """Two Hosts are refused, even if they are the same."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", "Host: localhost"))
    await refused(server, wire, 400, "bad_host")


@pytest.mark.parametrize(
    "line",
    [
        "X-Space : before the colon",
        "X-Folded: over\r\n two lines",
        " X-Leading: space",
        "X-Bare: carriage\rreturn",
        "X-Bare: line\nfeed",
        "X-Nul: \x00",
        "X-Del: \x7f",
        "X-Bell: \x07",
        ": no name",
        "no colon",
        "X(Comment): in the name",
        "X-Ünicode: in the name",
        "Origin: http://löcalhost",
        "Sec-WebSocket-Protocol: chät",
        "Sec-WebSocket-Extensions: permessage-döflate",
        "Upgrade: ö",
        "Connection: ö",
    ],
)
async def test_malformed_field(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, line: str
) -> None:
    """A field that breaks RFC 9112 section 5, or is not ASCII where the protocol reads it, is refused."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", line))
    await refused(server, wire, 400, "malformed_request")


@pytest.mark.parametrize(
    "line",
    [
        "GET /echo http/1.1",
        "GET  /echo HTTP/1.1",
        "GET\t/echo HTTP/1.1",
        "GET /echo HTTP/1.1 ",
        " GET /echo HTTP/1.1",
        "GET /echo HTTP/11",
        "GET /echo",
        "GET /echö HTTP/1.1",
        "GET /echo HTTP/1.1\nX-Bare: line feed",
        f"{'G' * 33} /echo HTTP/1.1",
        "",
    ],
)
async def test_malformed_request_line(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, line: str
) -> None:
    """A request line is read as RFC 9112 section 3 writes it, and in no other way."""
    server = await start(ROUTES)
    wire = await dial(server)
    header = opening().partition(b"\r\n")[2]
    # The first of two empty lines before a request is forgiven, the second is not.
    wire.send((line or "\r\n").encode("latin-1") + b"\r\n" + header)
    await refused(server, wire, 400, "malformed_request")


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: +0"],
        ["Content-Length: 0, 6"],
        ["Content-Length: 0", "Content-Length: 6"],
        ["Content-Length:"],
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding:"],
        ["Content-Length: 0", "Transfer-Encoding: chunked"],
    ],
    ids=" ".join,
)
async def test_body(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, lines: list[str]
) -> None:
    """An opening handshake that announces a body is refused, whether or not the body is there."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", *lines))
    await refused(server, wire, 400, "body_not_allowed")


@pytest.mark.parametrize("body", [FRAME, REQUEST, b"0\r\n\r\n" + REQUEST], ids=["frame", "request", "chunks"])
@pytest.mark.parametrize("line", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_body_is_not_read(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, line: str, body: bytes
) -> None:
    """The body of an opening handshake is read neither as frames nor as a request."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", line) + body)
    await refused(server, wire, 400, "body_not_allowed")
    assert server.node.metrics.messages_in == 0


@pytest.mark.parametrize(
    "data", [FRAME, b"\r\n", REQUEST, b"x" * 300_000], ids=["frame", "empty line", "request", "a lot"]
)
async def test_bytes_before_the_answer(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, data: bytes
) -> None:
    """What comes behind the header, before our 101, ends the opening handshake and is thrown away."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening() + data)
    await refused(server, wire, 400, "early_data")
    assert server.node.metrics.messages_in == 0


@pytest.mark.parametrize("upgrade", [None, "", "h2c", "websocket2", "websocket/13", "web socket"])
async def test_no_upgrade_or_another_one(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, upgrade: str | None
) -> None:
    """A path that speaks WebSocket only says so to whoever asks for something else."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(upgrade=upgrade))
    await refused(server, wire, 426, "upgrade_required", **UPGRADE)


@pytest.mark.parametrize("connection", [None, "", "keep-alive", "close", "upgraded", "keep-alive; upgrade"])
async def test_connection_without_upgrade(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, connection: str | None
) -> None:
    """Connection names `upgrade`, or the request is refused."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(connection=connection))
    await refused(server, wire, 400, "bad_connection")


@pytest.mark.parametrize("version", [None, "", "8", "12", "14", "013", "13, 8", "13, 13", "x"])
async def test_another_version_of_websocket(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, version: str | None
) -> None:
    """Only version 13 is spoken, and the answer says so (RFC 6455 section 4.4)."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(sec_websocket_version=version))
    await refused(server, wire, 426, "unsupported_version", **UPGRADE)


async def test_version_twice(start: Callable, dial: Callable, opening: Callable, refused: Callable) -> None:
    """A version that is named in two fields is refused, even if both are 13."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", "Sec-WebSocket-Version: 13"))
    await refused(server, wire, 426, "unsupported_version", **UPGRADE)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        "not base64 at all!",
        "dGhlIHNhbXBsZSBub25j",  # 15 bytes
        "dGhlIHNhbXBsZSBub25jZSE=",  # 17 bytes
        "dGhlIHNhbXBsZSBub25jZQ",  # no padding
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhl IHNhbXBsZSBub25jZQ==",
        "__hlIHNhbXBsZSBub25jZQ==",  # the other alphabet of base64
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ],
)
async def test_bad_key(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, key: str | None
) -> None:
    """The key is 16 bytes in base64."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(sec_websocket_key=key))
    await refused(server, wire, 400, "bad_key")


async def test_key_twice(start: Callable, dial: Callable, opening: Callable, refused: Callable) -> None:
    """Two keys are refused, even if they are the same."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
    await refused(server, wire, 400, "bad_key")


@pytest.mark.parametrize(
    "target",
    [
        "http://example.org/echo",
        "http://localhost:81/echo",
        "http://localhost@example.org/echo",
        "ftp://localhost/echo",
        "localhost",
        "echo",
        "*",
        "//echo",
        "/chat//room",
        "//localhost/echo",
        "/%2Fecho",
        "/chat/a%2fb",
        "/chat/a%5Cb",
        "/chat/a\\b",
        "/../echo",
        "/./echo",
        "/chat/..",
        "/chat/../echo",
        "/%2e%2e/echo",
        "/chat/.%2E",
        "/echo#fragment",
        "/chat/a%00b",
        "/chat/a%0d%0ab",
        "/chat/%7F",
        "/chat/%zz",
        "/chat/%",
        "/chat/%ff",
        "/chat/%c0%af",
        "/chat/%ed%a0%80",
    ],
)
async def test_bad_target(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, target: str
) -> None:
    """A target over whose path two readers could differ is refused, not repaired."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(target))
    await refused(server, wire, 400, "bad_target")


@pytest.mark.parametrize("target", ["/", "/nothing", "/echo/", "/ECHO", "/chat", "/chat/", "/chat/a/b", "/healthz"])
async def test_unknown_path(
    start: Callable, dial: Callable, opening: Callable, refused: Callable, target: str
) -> None:
    """An opening handshake at a path of no route is 404, where plain HTTP is served also."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening(target))
    await refused(server, wire, 404, "not_found")


async def test_header_too_large(
    start: Callable, dial: Callable, opening: Callable, refused: Callable
) -> None:
    """A header block over its limit is 431, and one byte less is a connection."""
    server = await start(ROUTES, listen={"max_header_bytes": 1000})
    wire = await dial(server)
    padding = 1000 - len(opening("/echo", "X-Padding: ")) + len("\r\n\r\n")
    wire.send(opening("/echo", f"X-Padding: {'x' * (padding + 1)}"))
    await refused(server, wire, 431, "headers_too_large")
    wire = await dial(server)
    wire.send(opening("/echo", f"X-Padding: {'x' * padding}"))
    assert (await wire.answer()).status == 101


async def test_header_of_exactly_the_limit_may_come_in_pieces(
    start: Callable, dial: Callable, opening: Callable, accepted: Callable
) -> None:
    """The empty line after the header does not count, though its first bytes come with the header."""
    server = await start(ROUTES, listen={"max_header_bytes": 1000})
    padding = 1000 - len(opening("/echo", "X-Padding: ")) + len("\r\n\r\n")
    header = opening("/echo", f"X-Padding: {'x' * padding}")
    for cut in (1, 2, 3, 4):
        wire = await dial(server)
        wire.send(header[:-cut])
        # An answer on another TCP connection shows that the first bytes were read.
        other = await dial(server)
        other.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await other.answer()).status == 200
        wire.send(header[-cut:])
        await accepted(wire)


async def test_endless_header(start: Callable, dial: Callable, refused: Callable) -> None:
    """A header block without end is 431 as soon as it is over the limit, and what follows is not kept."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(b"GET /echo HTTP/1.1\r\nX-Endless: " + b"x" * 1_000_000)
    await refused(server, wire, 431, "headers_too_large")


async def test_too_many_header_lines(
    start: Callable, dial: Callable, opening: Callable, refused: Callable
) -> None:
    """A header of more lines than the limit is 431, and one line less is a connection."""
    server = await start(ROUTES)
    wire = await dial(server)
    wire.send(opening("/echo", *["X: y"] * 96))  # beside five of its own
    await refused(server, wire, 431, "headers_too_large")
    wire = await dial(server)
    wire.send(opening("/echo", *["X: y"] * 95))
    assert (await wire.answer()).status == 101
