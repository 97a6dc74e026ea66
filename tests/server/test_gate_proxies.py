"""Tests of the gate: what trusted proxies say of a client, and where it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint
from sanic.response import HTTPResponse, text

from gateway import Connection, Handler, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from sanic import Request

ROUTES = """
api: {tokens: [{name: test, token: secret}]}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
  - path: /who
    handlers: [who]
    allow_missing_origin: true
"""
PROXIED: dict[str, Any] = {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
FORWARDED: dict[str, Any] = {**PROXIED, "proxy_header": "forwarded"}
STRANGER = {"local_addr": ("127.0.0.2", 0)}


class Who(Handler):
    """A handler that tells each client who it is."""

    def on_open(self, connection: Connection) -> None:
        """Tell the address."""
        connection.send_json(connection.remote)


class Site:
    """A plugin that notes the address of each opening handshake, and tells it to plain requests."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def gateway_admit(self, opening: Any) -> None:
        """Note the address."""
        self.seen.append(opening.remote)

    @hookimpl
    def gateway_blueprints(self) -> list[Blueprint]:
        """Give a path that tells the address."""
        blueprint = Blueprint("site")

        @blueprint.get("/ip")
        async def tell(request: Request) -> HTTPResponse:
            return text(request.ip)

        return [blueprint]


def get(path: str, *lines: str) -> bytes:
    """Write a plain request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


@pytest.fixture
async def site() -> Site:
    """A plugin that looks at addresses."""
    return Site()


@pytest.fixture
def who(ask: Callable, opening: Callable) -> Callable:
    """Give a function that opens a connection with further header lines, and gives who it is said to be."""

    async def who(server: Any, *lines: str, **options: Any) -> str:
        wire = await ask(server, opening("/who", *lines), **options)
        assert (await wire.answer()).status == 101
        return await wire.message()

    return who


async def test_x_forwarded_for(start: Callable, who: Callable, site: Site) -> None:
    """The client is who the trusted proxy says, for handlers and for plugins."""
    server = await start(ROUTES, listen=PROXIED, plugins=[site], handlers={"who": Who})
    assert await who(server, "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9") == "1.2.3.4"
    assert await who(server, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: [2001:db8::1]:80") == "2001:db8::1"
    assert await who(server) == "127.0.0.1"
    assert await who(server, "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6") == "127.0.0.1"
    assert site.seen == ["1.2.3.4", "2001:db8::1", "127.0.0.1", "127.0.0.1"]


async def test_forwarded(start: Callable, who: Callable, site: Site) -> None:
    """The same in the words of RFC 7239, where the configuration says so."""
    server = await start(ROUTES, listen=FORWARDED, plugins=[site], handlers={"who": Who})
    assert await who(server, 'Forwarded: for=6.6.6.6, for="[2001:db8::1]:80";proto=https') == "2001:db8::1"
    assert await who(server, "X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6") == "127.0.0.1"
    assert site.seen == ["2001:db8::1", "127.0.0.1"]


@pytest.mark.parametrize("listen", [{}, PROXIED, FORWARDED], ids=["nobody", "x", "forwarded"])
async def test_peer_that_is_not_trusted(
    start: Callable, who: Callable, site: Site, listen: dict[str, Any]
) -> None:
    """Whoever is no trusted proxy is the client, whatever it writes; by default everyone is."""
    server = await start(ROUTES, listen=listen, plugins=[site], handlers={"who": Who})
    lines = (
        "X-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "True-Client-IP: 127.0.0.1",
    )
    assert await who(server, *lines, **STRANGER) == "127.0.0.2"
    assert site.seen == ["127.0.0.2"]
    if not listen:
        assert await who(server, "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4") == "127.0.0.1"


async def test_refusals_are_logged_with_the_client(start: Callable, ask: Callable, opening: Callable) -> None:
    """The log names the client; of a request that could not be read, the peer."""
    server = await start(ROUTES, listen=PROXIED, handlers={"who": Who})
    line = "X-Forwarded-For: 1.2.3.4"
    for data, remote in (
        (opening("/nothing", line), "1.2.3.4"),
        (opening("/echo", line, origin="https://example.com"), "1.2.3.4"),
        (opening("/echo", line, "Bad : line"), "127.0.0.1"),
        (opening("/echo", line, host=None), "1.2.3.4"),
    ):
        wire = await ask(server, data)
        assert (await wire.answer()).status >= 400
        assert server.log[-1]["remote"] == remote


async def test_plain_http(start: Callable, ask: Callable, site: Site) -> None:
    """Plain requests are the client's as well, each for itself on one TCP connection, and logged so."""
    server = await start(ROUTES, listen=PROXIED, plugins=[site], handlers={"who": Who})
    wire = await ask(server, get("/ip", "X-Forwarded-For: 1.2.3.4"))
    assert (await wire.answer()).body == b"1.2.3.4"
    wire.send(get("/ip", "X-Forwarded-For: 5.6.7.8") + get("/ip"))
    assert [(await wire.answer()).body for _ in range(2)] == [b"5.6.7.8", b"127.0.0.1"]
    wire.send(
        b"POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.2.3.4\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert (await wire.answer()).status == 401
    refused = [line for line in server.log if line["event"] == "api_refused"]
    assert refused[-1]["remote"] == "1.2.3.4"
    stranger = await ask(server, get("/ip", "X-Forwarded-For: 1.2.3.4"), **STRANGER)
    assert (await stranger.answer()).body == b"127.0.0.2"


async def test_limits_are_the_clients(start: Callable, ask: Callable, opening: Callable) -> None:
    """Clients behind one proxy are counted each for itself, and cannot pass for others."""
    server = await start(ROUTES, listen={**PROXIED, "max_connections_per_address": 1}, handlers={"who": Who})
    for value, status in (
        ("1.2.3.4", 101),
        ("1.2.3.4", 429),
        ("5.6.7.8, 1.2.3.4", 429),
        ("1.2.3.4, 5.6.7.8", 101),
        ("2001:db8:1:2::1", 101),
        ("2001:db8:1:2::2", 429),
    ):
        wire = await ask(server, opening("/echo", f"X-Forwarded-For: {value}"))
        assert (await wire.answer()).status == status, value


@pytest.mark.parametrize(
    ("listen", "https", "http"),
    [
        (PROXIED, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
        (FORWARDED, "Forwarded: for=1.2.3.4;proto=https", "Forwarded: for=1.2.3.4;proto=http"),
    ],
    ids=["x", "forwarded"],
)
async def test_own_origin(
    start: Callable,
    ask: Callable,
    opening: Callable,
    secure: bool,
    listen: dict[str, Any],
    https: str,
    http: str,
) -> None:
    """The page's own origin has the scheme that the client spoke to the proxy, and the Host as it came."""
    server = await start(ROUTES, listen=listen, handlers={"who": Who})
    own = "https" if secure else "http"
    for lines, origin, status in (
        ([https], "https://example.com", 101),
        ([https], "https://example.com:443", 101),
        ([https], "http://example.com", 403),
        ([http], "http://example.com", 101),
        ([http], "https://example.com", 403),
        ([], f"{own}://example.com", 101),
        ([https, "X-Forwarded-Host: example.org"], "https://example.org", 403),
    ):
        wire = await ask(server, opening("/echo", *lines, host="example.com", origin=origin))
        assert (await wire.answer()).status == status, (lines, origin)
    other = "http" if secure else "https"
    wire = await ask(
        server,
        opening("/echo", https if other == "https" else http, origin=f"{other}://localhost"),
        **STRANGER,
    )
    assert (await wire.answer()).status == 403
