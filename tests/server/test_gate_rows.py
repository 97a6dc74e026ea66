"""The promises of the opening handshake, row by row: what goes in, and every byte that comes out.

The rows of tokens signed by others, of tickets and of certificates stand with their ways, those of limits
in `test_gate_limits.py`, those of proxies in `test_gate_proxies.py`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
api: {tokens: [{name: test, token: secret}]}
authentication: {token: {keys: [{name: ada, user: ada, token: token-of-ada}]}}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
  - path: /own
    handlers: [echo]
  - path: /listed
    handlers: [echo]
    allowed_origins: ["https://example.com", "https://*.example.org"]
  - path: /chat
    handlers: [echo]
    allow_missing_origin: true
    subprotocols: [chat.v2, chat.v1]
    require_subprotocol: true
  - path: /secret
    handlers: [echo]
    allow_missing_origin: true
    authenticate: [token]
    credentials_from: [header]
  - path: /open/{name}
    handlers: [echo]
    allow_missing_origin: true
  - path: /deflate
    handlers: [echo]
    allow_missing_origin: true
    compression: {}
"""
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade, close", "Sec-WebSocket-Version: 13")
# By the refusal's code: the status line, the header fields of its own, the message.
REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "method_not_allowed": ("405 Method Not Allowed", ("Allow: GET",), "a WebSocket opens with GET"),
    "malformed_request": ("400 Bad Request", (), "the request breaks the rules of HTTP/1.1"),
    "http_version": ("400 Bad Request", (), "a WebSocket opens with HTTP/1.1"),
    "bad_host": ("400 Bad Request", (), "the request needs exactly one valid Host"),
    "bad_target": ("400 Bad Request", (), "the request target is not valid"),
    "body_not_allowed": ("400 Bad Request", (), "an opening handshake has no body"),
    "early_data": ("400 Bad Request", (), "nothing may follow the opening handshake before its answer"),
    "upgrade_required": ("426 Upgrade Required", UPGRADE, "this path speaks the WebSocket protocol"),
    "bad_connection": ("400 Bad Request", (), "Connection must name upgrade"),
    "unsupported_version": ("426 Upgrade Required", UPGRADE, "only version 13 is spoken here"),
    "bad_key": ("400 Bad Request", (), "Sec-WebSocket-Key must be 16 bytes in base64, once"),
    "headers_too_large": ("431 Request Header Fields Too Large", (), "the header block is too large"),
    "not_found": ("404 Not Found", (), "nothing is served at this path"),
    "unknown_subprotocol": ("400 Bad Request", (), "this path requires one of its subprotocols"),
    "origin_not_allowed": ("403 Forbidden", (), "this origin may not connect"),
    "unauthorized": ("401 Unauthorized", ("WWW-Authenticate: Bearer",), "valid credentials are required"),
    "forbidden": ("403 Forbidden", (), "not allowed"),
    "timeout": ("408 Request Timeout", (), "the request did not come in time"),
    "draining": ("503 Service Unavailable", ("Retry-After: 5",), "the gateway is stopping"),
    "check_timeout": ("503 Service Unavailable", ("Retry-After: 5",), "a check did not answer in time"),
    "internal_error": ("500 Internal Server Error", (), "the gateway failed"),
}
FRAME = b"\x81\x80\x00\x00\x00\x00"
plain_only = pytest.mark.parametrize("secure", [False], ids=["plain"])


def refused(error: str) -> bytes:
    """Give the whole answer of a refusal."""
    status, fields, message = REFUSED[error]
    body = f'{{"error": "{error}", "message": "{message}"}}'
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *fields,
    ]
    if not any(line.startswith("Connection:") for line in fields):
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", body)).encode()


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve the routes of this module."""
    return await start(ROUTES)


@pytest.fixture
def row(server: Any, ask: Callable, until: Callable, pending: Callable) -> Callable:
    """Give a function that sends bytes, and asserts the refusal that they get and that nothing else comes."""

    async def row(data: bytes, error: str, **options: Any) -> None:
        wire = await ask(server, data, **options)
        assert await wire.rest() == refused(error)
        await wire.close()
        await until(lambda: pending(server) == 0)
        assert server.node.metrics.connections_opened == 0
        assert server.node.metrics.messages_in == 0
        assert server.node.sockets == set()

    return row


@pytest.fixture
def opens(server: Any, ask: Callable) -> Callable:
    """Give a function that sends bytes, and asserts the 101 that they get and that messages come back."""

    async def opens(data: bytes, *more: str) -> Any:
        wire = await ask(server, data)
        answer = ACCEPTED + "".join(f"{line}\r\n" for line in more).encode() + b"\r\n"
        async with asyncio.timeout(15):
            assert await wire.reader.readexactly(len(answer)) == answer
            wire.send(b"\x81\x82\x00\x00\x00\x00hi")
            assert await wire.reader.readexactly(4) == b"\x81\x02hi"
        return wire

    return opens


async def test_request_itself(row: Callable, opening: Callable, subtests: pytest.Subtests) -> None:
    """What breaks HTTP/1.1 or RFC 6455 gets the answer that the table has for it, to the byte."""
    for data, error in (
        # another method than GET
        (opening(method="POST"), "method_not_allowed"),
        (opening(method="OPTIONS"), "method_not_allowed"),
        (opening(method="get"), "method_not_allowed"),
        # HTTP/1.0; no, two or a malformed Host
        (opening(version="HTTP/1.0"), "http_version"),
        (opening(host=None), "bad_host"),
        (opening("/echo", "Host: localhost"), "bad_host"),
        (opening(host="a b"), "bad_host"),
        (opening(host="löcalhost"), "bad_host"),
        # space before a colon, obs-fold, bare CR, LF, NUL; non-ASCII where the protocol reads
        (opening("/echo", "X : y"), "malformed_request"),
        (opening("/echo", "X: y", " z"), "malformed_request"),
        (opening("/echo", "X: y\rZ: z"), "malformed_request"),
        (opening("/echo", "X: y\nZ: z"), "malformed_request"),
        (opening("/echo", "X: \0"), "malformed_request"),
        (opening(origin="http://löcalhost"), "malformed_request"),
        (opening(sec_websocket_protocol="chät"), "malformed_request"),
        (opening(sec_websocket_extensions="permessage-döflate"), "malformed_request"),
        # a body, announced or sent
        (opening("/echo", "Content-Length: 6") + FRAME, "body_not_allowed"),
        (opening("/echo", "Transfer-Encoding: chunked") + b"0\r\n\r\n", "body_not_allowed"),
        (opening("/echo", "Transfer-Encoding: chunked", "Content-Length: 0"), "body_not_allowed"),
        (opening() + FRAME, "early_data"),
        (opening() + opening(), "early_data"),
        # Upgrade, Connection, version, key
        (opening(upgrade=None), "upgrade_required"),
        (opening(upgrade="h2c"), "upgrade_required"),
        (opening(connection=None), "bad_connection"),
        (opening(connection="keep-alive"), "bad_connection"),
        (opening(sec_websocket_version=None), "unsupported_version"),
        (opening(sec_websocket_version="8"), "unsupported_version"),
        (opening("/echo", "Sec-WebSocket-Version: 13"), "unsupported_version"),
        (opening(sec_websocket_key=None), "bad_key"),
        (opening("/echo", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), "bad_key"),
        (opening(sec_websocket_key="not base64!"), "bad_key"),
        (opening(sec_websocket_key="dGhlIHNhbXBsZSBub25j"), "bad_key"),
        # a header block over 8 KiB, or of more than 100 lines
        (opening("/echo", f"X: {'x' * 8192}"), "headers_too_large"),
        (opening("/echo", *["X: y"] * 96), "headers_too_large"),
        (b"GET /" + b"x" * 9000, "headers_too_large"),
    ):
        with subtests.test(data=data[:400], error=error):
            await row(data, error)


async def test_head_has_no_body(server: Any, ask: Callable, opening: Callable) -> None:
    """HEAD gets the head of its refusal, and nothing after it (RFC 9110 section 9.3.2)."""
    wire = await ask(server, opening(method="HEAD"))
    head, end, _ = refused("method_not_allowed").partition(b"\r\n\r\n")
    assert await wire.rest() == head + end


async def test_target(row: Callable, opening: Callable, subtests: pytest.Subtests) -> None:
    """A target that two readers could take for different paths is refused, as is an unknown path."""
    for target, error in (
        ("http://example.org/echo", "bad_target"),
        ("http://localhost:81/echo", "bad_target"),
        ("//echo", "bad_target"),
        ("/open//echo", "bad_target"),
        ("/open/a%2Fb", "bad_target"),
        ("/open/a%2fb", "bad_target"),
        ("/open/../echo", "bad_target"),
        ("/open/%2e%2E/echo", "bad_target"),
        ("/open/a%00b", "bad_target"),
        ("/open/%ff", "bad_target"),
        ("/echo#fragment", "bad_target"),
        ("/nothing", "not_found"),
        ("/echo/", "not_found"),
        ("/ECHO", "not_found"),
        ("/healthz", "not_found"),
    ):
        with subtests.test(target=target):
            await row(opening(target), error)


async def test_policy_is_that_of_the_route(
    row: Callable, opens: Callable, opening: Callable, subtests: pytest.Subtests
) -> None:
    """Route and policy are found by one normalised path: no way of writing it leads past the policy."""
    for target, error in (
        ("/secret", "unauthorized"),
        ("/%73ecret", "unauthorized"),
        ("/%73%65%63%72%65%74?/open/a", "unauthorized"),
        ("http://localhost/secret", "unauthorized"),
        ("ws://LOCALHOST/%73ecret", "unauthorized"),
        ("/open/../secret", "bad_target"),
        ("/open/..%2fsecret", "bad_target"),
        ("/open/%2e%2e/secret", "bad_target"),
        ("/open/..\\secret", "bad_target"),
        ("/open/..%5csecret", "bad_target"),
        ("//secret", "bad_target"),
        ("/.//secret", "bad_target"),
        ("/./secret", "bad_target"),
        ("/%2fsecret", "bad_target"),
        ("/secret/", "not_found"),
        ("/secret;x", "not_found"),
        ("/secret%3fx", "not_found"),
        ("/Secret", "not_found"),
    ):
        with subtests.test(target=target):
            await row(opening(target), error)
    for target in ("/open/secret", "/open/a?/../secret", "/open/..secret", "/open/%252fsecret", "/%6fpen/a"):
        with subtests.test(target=target):
            await opens(opening(target))


async def test_deadline(start: Callable, ask: Callable, opening: Callable) -> None:
    """Silence, half a header, and one that trickles are told so at one deadline."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.5})

    async def cut(data: bytes, more: bytes = b"") -> None:
        wire = await ask(server, data)
        await wire.trickle(more) if more else None
        assert await wire.rest() == refused("timeout")

    await asyncio.gather(
        cut(b""), cut(opening()[:-1]), cut(opening()[:-2], b"X: " + b"x" * 5000), cut(b"", b"\r\n" * 2500)
    )
    assert server.node.metrics.refusals == {"timeout": 4}


@plain_only
async def test_tls_on_the_plain_port(row: Callable) -> None:
    """A TLS handshake on the plain port is told what it is, in plain words."""
    await row(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, "malformed_request")


@pytest.mark.parametrize("field", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
async def test_junk_offers(opens: Callable, opening: Callable, subtests: pytest.Subtests, field: str) -> None:
    """Eight KiB of spaces, commas and quotes are an offer of nothing, and so is what breaks its own rules."""
    room = 8192 - len(opening("/deflate", f"{field}: ")) + len("\r\n\r\n")
    offers = [(text * room)[:room] for text in (" ", ",", '"', ', "', ';="', "x, ", '"\\')]
    if field == "Sec-WebSocket-Extensions":
        offers += [
            f"permessage-deflate; {parameter}"
            for parameter in (
                "server_max_window_bits=7",
                "server_max_window_bits=16",
                "client_max_window_bits=08",
                "server_max_window_bits",
                "server_max_window_bits=10; server_max_window_bits=10",
                "unknown",
                "server_no_context_takeover=1",
            )
        ]
    for offer in offers:
        for path in ("/deflate", "/echo"):
            with subtests.test(offer=offer[:60], path=path):
                await opens(opening(path, f"{field}: {offer}"))


@pytest.mark.parametrize("path", ["/chat", "/deflate", "/echo"])
async def test_junk_offers_cost_little(
    server: Any, ask: Callable, opening: Callable, path: str, subtests: pytest.Subtests
) -> None:
    """Eight times the junk costs eight times the calls at most, and so few that they take no millisecond."""

    async def count(data: bytes) -> int:
        calls = 0

        def note(_: object, event: str, __: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        wire = await ask(server, b"")
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            wire.send(data)
            head = await wire.reader.readuntil(b"\r\n\r\n")
        finally:
            sys.setprofile(before)
        assert head.startswith(b"HTTP/1.1 101 " if path != "/chat" else b"HTTP/1.1 400 ")
        await wire.close()
        return calls

    for field in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        for text in (" ", ",", '"', ', "', "x,", 'x;y="\\"",', "permessage-deflate,"):
            with subtests.test(field=field, text=text):
                short, long = [
                    await count(opening(path, f"{field}: {(text * size)[:size]}")) for size in (900, 7200)
                ]
                assert long <= 8 * short
                assert long <= 20_000


async def test_variants(opens: Callable, opening: Callable, subtests: pytest.Subtests) -> None:
    """What browsers and proxies write differently gets the same 101."""
    for data in (
        opening(),
        opening(connection="keep-alive, Upgrade"),  # Firefox
        opening(connection="UPGRADE", upgrade="WebSocket"),
        opening("/echo", "Content-Length: 0"),
        opening("http://localhost/echo"),
        b"\r\n" + opening(),
    ):
        with subtests.test(data=data):
            await opens(data)


async def test_subprotocol(row: Callable, opens: Callable, opening: Callable) -> None:
    """Where the route requires a subprotocol, none of its own is a refusal, and one of them is answered."""
    for offer in (None, "chat.v3", "CHAT.V1", '"chat.v1"', "bearer.chat.v1"):
        await row(opening("/chat", sec_websocket_protocol=offer), "unknown_subprotocol")
    await opens(
        opening("/chat", sec_websocket_protocol="chat.v1, bearer.xyz, chat.v2"),
        "Sec-WebSocket-Protocol: chat.v2",
    )


async def test_origin(
    row: Callable, opens: Callable, opening: Callable, secure: bool, subtests: pytest.Subtests
) -> None:
    """An origin that is not listed is refused, one that is missing too, unless the route says otherwise."""
    for path, origin in (
        ("/listed", "https://example.com.evil.org"),  # a suffix
        ("/listed", "https://www.example.com"),  # a subdomain
        ("/listed", "https://example.co"),  # a prefix
        ("/listed", "http://example.com"),  # another scheme
        ("/listed", "https://example.com:444"),  # another port
        ("/listed", "https://example.org"),  # the wildcard's own domain
        ("/listed", "null"),
        ("/listed", "https://example.com@evil.org"),
        ("/listed", "not a url"),
        ("/listed", None),
        ("/own", "https://example.com"),
        ("/own", None),
        ("/own", "http://localhost" if secure else "https://localhost"),
        ("/echo", "https://example.com"),
    ):
        with subtests.test(path=path, origin=origin):
            await row(opening(path, origin=origin), "origin_not_allowed")
    twice = "Origin: https://example.com"
    await row(opening("/listed", twice, twice), "origin_not_allowed")
    for path, origin in (
        ("/listed", "HTTPS://EXAMPLE.COM:443"),
        ("/listed", "https://a.b.example.org"),
        ("/own", "https://localhost" if secure else "http://localhost"),
        ("/echo", None),
    ):
        with subtests.test(path=path, origin=origin):
            await opens(opening(path, origin=origin))


async def test_credentials(
    row: Callable, opens: Callable, opening: Callable, subtests: pytest.Subtests
) -> None:
    """No credentials, bad ones, and good ones in a place that the route does not allow are 401."""
    for data in (
        opening("/secret"),
        opening("/secret", authorization="Bearer token-of-bob"),
        opening("/secret", authorization="Basic dG9rZW4tb2YtYWRh"),
        opening("/secret", "Authorization: Bearer token-of-ada", authorization="Bearer token-of-ada"),
        opening("/secret?token=token-of-ada&access_token=token-of-ada"),
        opening("/secret", cookie="token=token-of-ada"),
        opening("/secret", sec_websocket_protocol="bearer.token-of-ada"),
    ):
        with subtests.test(data=data):
            await row(data, "unauthorized")
    await opens(opening("/secret", authorization="Bearer token-of-ada"))


async def test_draining(server: Any, row: Callable, opening: Callable) -> None:
    """A node that leaves says when to come again."""
    server.node.draining = True
    await row(opening(), "draining")


class Hook:
    """An admission hook that behaves as it is told."""

    def __init__(self, verdict: object) -> None:
        self.verdict = verdict

    @hookimpl
    async def gateway_admit(self, opening: Any) -> Any:
        """Give the verdict, raise it, or wait for it."""
        del opening
        if self.verdict == "raise":
            raise ValueError("a secret of the plugin")
        if self.verdict == "wait":
            await asyncio.Event().wait()
        return self.verdict


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        ("raise", "internal_error"),
        (True, "internal_error"),
        ("wait", "check_timeout"),
    ],
    ids=["raises", "nonsense", "hangs"],
)
async def test_plugin(start: Callable, ask: Callable, opening: Callable, verdict: object, error: str) -> None:
    """A plugin that fails in the handshake opens nothing, and what it said stays inside."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.5}, plugins=[Hook(verdict)])
    wire = await ask(server, opening())
    assert await wire.rest() == refused(error)
    assert server.node.metrics.connections_opened == 0


async def test_plugin_that_forbids(start: Callable, ask: Callable, opening: Callable) -> None:
    """A plugin may forbid with the gateway's own words."""
    from gateway.protocol.refusals import REFUSALS  # noqa: PLC0415 - the one row that is handed out

    server = await start(ROUTES, plugins=[Hook(REFUSALS["forbidden"])])
    assert await (await ask(server, opening())).rest() == refused("forbidden")
