"""Tests of the gate: what is wrong with the request itself, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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


async def test_another_method_is_not_allowed(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A WebSocket opens with GET, written so; anything else is 405 and told what is allowed."""
    server = await start(ROUTES)
    for method in ("POST", "PUT", "OPTIONS", "DELETE", "PATCH", "get", "BREW"):
        with subtests.test(method=method):
            wire = await ask(server, opening(method=method))
            await refused(server, wire, 405, "method_not_allowed", allow="GET")


async def test_head_gets_no_body(
    start: Callable, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """HEAD is 405 as well, and its answer has no body (RFC 9110 section 9.3.2)."""
    server = await start(ROUTES)
    wire = await ask(server, opening(method="HEAD"))
    await refused(server, wire, 405, "method_not_allowed", has_body=False, allow="GET")


async def test_another_version_of_http(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A WebSocket opens with HTTP/1.1 and no other version."""
    server = await start(ROUTES)
    for version in ("HTTP/1.0", "HTTP/1.2", "HTTP/0.9", "HTTP/2.0"):
        with subtests.test(version=version):
            wire = await ask(server, opening(version=version))
            await refused(server, wire, 400, "http_version")


async def test_host_is_missing_or_malformed(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A request without exactly one valid Host is refused."""
    server = await start(ROUTES)
    for host in (
        None,
        "",
        "a b",
        "user@localhost",
        "localhost:99999",
        "localhost:0",
        "localhost:",
        "localhost/echo",
        "localhost, localhost",
        "[::1",
        "löcal",
    ):
        with subtests.test(host=host):
            wire = await ask(server, opening(host=host))
            await refused(server, wire, 400, "bad_host")


async def test_host_twice(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """Two Hosts are refused, even if they are the same."""
    server = await start(ROUTES)
    wire = await ask(server, opening("/echo", "Host: localhost"))
    await refused(server, wire, 400, "bad_host")


async def test_malformed_field(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A field that breaks RFC 9112 section 5, or is not ASCII where the protocol reads it, is refused."""
    server = await start(ROUTES)
    for line in (
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
    ):
        with subtests.test(line=line):
            wire = await ask(server, opening("/echo", line))
            await refused(server, wire, 400, "malformed_request")


async def test_malformed_request_line(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A request line is read as RFC 9112 section 3 writes it, and in no other way."""
    server = await start(ROUTES)
    header = opening().partition(b"\r\n")[2]
    for line in (
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
    ):
        with subtests.test(line=line):
            # The first of two empty lines before a request is forgiven, the second is not.
            wire = await ask(server, (line or "\r\n").encode("latin-1") + b"\r\n" + header)
            await refused(server, wire, 400, "malformed_request")


async def test_body(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """An opening handshake that announces a body is refused, whether or not the body is there."""
    server = await start(ROUTES)
    for lines in (
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
    ):
        with subtests.test(lines=lines):
            wire = await ask(server, opening("/echo", *lines))
            await refused(server, wire, 400, "body_not_allowed")


async def test_body_is_not_read(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """The body of an opening handshake is read neither as frames nor as a request."""
    server = await start(ROUTES)
    for line in ("Content-Length: 6", "Transfer-Encoding: chunked"):
        for body in (FRAME, REQUEST, b"0\r\n\r\n" + REQUEST):
            with subtests.test(line=line, body=body):
                wire = await ask(server, opening("/echo", line) + body)
                await refused(server, wire, 400, "body_not_allowed")
                assert server.node.metrics.messages_in == 0


async def test_bytes_before_the_answer(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """What comes behind the header, before our 101, ends the opening handshake and is thrown away."""
    server = await start(ROUTES)
    for data in (FRAME, b"\r\n", REQUEST, b"x" * 300_000):
        with subtests.test(data=data):
            wire = await ask(server, opening() + data)
            await refused(server, wire, 400, "early_data")
            assert server.node.metrics.messages_in == 0


async def test_no_upgrade_or_another_one(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A path that speaks WebSocket only says so to whoever asks for something else."""
    server = await start(ROUTES)
    for upgrade in (None, "", "h2c", "websocket2", "websocket/13", "web socket"):
        with subtests.test(upgrade=upgrade):
            wire = await ask(server, opening(upgrade=upgrade))
            await refused(server, wire, 426, "upgrade_required", **UPGRADE)


async def test_connection_without_upgrade(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Connection names `upgrade`, or the request is refused."""
    server = await start(ROUTES)
    for connection in (None, "", "keep-alive", "close", "upgraded", "keep-alive; upgrade"):
        with subtests.test(connection=connection):
            wire = await ask(server, opening(connection=connection))
            await refused(server, wire, 400, "bad_connection")


async def test_another_version_of_websocket(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Only version 13 is spoken, and the answer says so (RFC 6455 section 4.4)."""
    server = await start(ROUTES)
    for version in (None, "", "8", "12", "14", "013", "13, 8", "13, 13", "x"):
        with subtests.test(version=version):
            wire = await ask(server, opening(sec_websocket_version=version))
            await refused(server, wire, 426, "unsupported_version", **UPGRADE)


async def test_version_twice(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """A version that is named in two fields is refused, even if both are 13."""
    server = await start(ROUTES)
    wire = await ask(server, opening("/echo", "Sec-WebSocket-Version: 13"))
    await refused(server, wire, 426, "unsupported_version", **UPGRADE)


async def test_bad_key(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """The key is 16 bytes in base64."""
    server = await start(ROUTES)
    for key in (
        None,
        "",
        "not base64 at all!",
        "dGhlIHNhbXBsZSBub25j",  # 15 bytes
        "dGhlIHNhbXBsZSBub25jZSE=",  # 17 bytes
        "dGhlIHNhbXBsZSBub25jZQ",  # no padding
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhl IHNhbXBsZSBub25jZQ==",
        "__hlIHNhbXBsZSBub25jZQ==",  # the other alphabet of base64
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ):
        with subtests.test(key=key):
            wire = await ask(server, opening(sec_websocket_key=key))
            await refused(server, wire, 400, "bad_key")


async def test_key_twice(start: Callable, ask: Callable, opening: Callable, refused: Callable) -> None:
    """Two keys are refused, even if they are the same."""
    server = await start(ROUTES)
    wire = await ask(server, opening("/echo", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
    await refused(server, wire, 400, "bad_key")


async def test_bad_target(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A target over whose path two readers could differ is refused, not repaired."""
    server = await start(ROUTES)
    for target in (
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
    ):
        with subtests.test(target=target):
            wire = await ask(server, opening(target))
            await refused(server, wire, 400, "bad_target")


async def test_unknown_path(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """An opening handshake at a path of no route is 404, where plain HTTP is served also."""
    server = await start(ROUTES)
    for target in ("/", "/nothing", "/echo/", "/ECHO", "/chat", "/chat/", "/chat/a/b", "/healthz"):
        with subtests.test(target=target):
            wire = await ask(server, opening(target))
            await refused(server, wire, 404, "not_found")


async def test_header_too_large(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, accepted: Callable
) -> None:
    """A header block over its limit is 431, and one byte less is a connection."""
    server = await start(ROUTES, listen={"max_header_bytes": 1000})
    padding = 1000 - len(opening("/echo", "X-Padding: ")) + len("\r\n\r\n")
    wire = await ask(server, opening("/echo", f"X-Padding: {'x' * (padding + 1)}"))
    await refused(server, wire, 431, "headers_too_large")
    assert server.node.metrics.limits == {"max_header_bytes": 1}
    await accepted(await ask(server, opening("/echo", f"X-Padding: {'x' * padding}")))


async def test_header_of_exactly_the_limit_may_come_in_pieces(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """The empty line after the header does not count, though its first bytes come with the header."""
    server = await start(ROUTES, listen={"max_header_bytes": 1000})
    padding = 1000 - len(opening("/echo", "X-Padding: ")) + len("\r\n\r\n")
    header = opening("/echo", f"X-Padding: {'x' * padding}")
    for cut in (1, 2, 3, 4):
        wire = await ask(server, header[:-cut])
        # An answer on another TCP connection shows that the first bytes were read.
        other = await ask(server, REQUEST)
        assert (await other.answer()).status == 200
        wire.send(header[-cut:])
        await accepted(wire)


async def test_endless_header(start: Callable, ask: Callable, refused: Callable) -> None:
    """A header block without end is 431 as soon as it is over the limit, and what follows is not kept."""
    server = await start(ROUTES)
    wire = await ask(server, b"GET /echo HTTP/1.1\r\nX-Endless: " + b"x" * 1_000_000)
    await refused(server, wire, 431, "headers_too_large")


async def test_too_many_header_lines(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, accepted: Callable
) -> None:
    """A header of more lines than the limit is 431, and one line less is a connection."""
    server = await start(ROUTES)
    wire = await ask(server, opening("/echo", *["X: y"] * 96))  # beside five of its own
    await refused(server, wire, 431, "headers_too_large")
    assert server.node.metrics.limits == {"max_header_lines": 1}
    await accepted(await ask(server, opening("/echo", *["X: y"] * 95)))
