"""Tests of issuers that cannot be asked: new keys are not believed, and known ones go on."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import TYPE_CHECKING

import pytest

from gateway import GatewayError
from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ACCEPTED = b"HTTP/1.1 101 "
REFUSED = REFUSALS["unauthorized"].to_bytes()
UNAVAILABLE = REFUSALS["auth_unavailable"].to_bytes()


def test_the_answer_says_when_to_come_again() -> None:
    """The exact answer that the tests below await is 503 with Retry-After."""
    head, _, body = UNAVAILABLE.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5\r\n" in head
    assert json.loads(body)["error"] == "auth_unavailable"


@pytest.mark.parametrize("transport", ["plain", "tls"])
async def test_down(
    serve_who,
    published,
    knock,
    key_servers,
    key,
    jwk,
    mint,
    certificate,
    until,
    fetches,
    transport: str,
) -> None:
    """The gateway starts without its issuer, answers 503, and finds the keys when the issuer is back."""
    keys = await key_servers()
    await keys.stop()
    listen = {"tls": certificate if transport == "tls" else None}
    settings = published(keys, min_interval_seconds=0.05)
    server = await serve_who(jwt={"issuers": [settings]}, listen=listen)
    token = mint(key(), header={"kid": "main"})
    assert await knock(server, token) == UNAVAILABLE
    (line,) = [line for line in server.log if line["event"] == "opening_refused"]
    assert (line["status"], line["error"]) == (503, "auth_unavailable")
    assert token not in server.stream.getvalue()
    keys.publish(jwk(key(), kid="main"))
    await keys.start()
    await until(lambda: fetches(server, "jwks_fetched"))
    assert (await knock(server, token)).startswith(ACCEPTED)


async def test_an_outage_touches_new_keys_only(
    serve_who, published, knock, key_servers, key, jwk, mint, until, fetches
) -> None:
    """While the issuer is down, a known key is good and an unknown one gets 503."""
    keys = await key_servers()
    keys.publish(jwk(key(), kid="main"))
    settings = published(keys, min_interval_seconds=0.001, refresh_seconds=1)
    server = await serve_who(jwt={"issuers": [settings]})
    good = mint(key(), header={"kid": "main"})
    assert (await knock(server, good)).startswith(ACCEPTED)
    await keys.stop()
    assert await knock(server, mint(key(name="new"), header={"kid": "new"})) == UNAVAILABLE
    # Longer than the keys are to be kept: they are kept all the same.
    await until(lambda: len(fetches(server, "jwks_failed")) > 5)
    assert (await knock(server, good)).startswith(ACCEPTED)
    assert await knock(server, mint(key(name="another"), header={"kid": "main"})) == REFUSED


async def test_slow(serve_who, published, knock, key_servers, key, mint, until) -> None:
    """Silence, and a byte now and then, end at one deadline."""
    keys = await key_servers()

    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def trickle(writer: asyncio.StreamWriter) -> None:
        await keys.write(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
        while True:
            await keys.write(writer, b" ")
            await asyncio.sleep(0.01)

    async def trickle_head(writer: asyncio.StreamWriter) -> None:
        await keys.write(writer, b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await keys.write(writer, b"x")
            await asyncio.sleep(0.01)

    for behaviour in (silence, trickle, trickle_head):
        keys.behave = behaviour
        server = await serve_who(jwt={"issuers": [published(keys, timeout_seconds=0.2)]})
        started = asyncio.get_running_loop().time()
        assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
        assert asyncio.get_running_loop().time() - started < 3
        assert "no answer within 0.2 seconds" in server.stream.getvalue()


async def test_huge(serve_who, published, knock, key_servers, key, mint) -> None:
    """Of an answer without an end, little more is taken than is allowed."""
    keys = await key_servers()
    ended: list[str] = []

    def flood(head: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
        async def flood(writer: asyncio.StreamWriter) -> None:
            try:
                await keys.write(writer, head)
                while True:
                    await keys.write(writer, b" " * 65_536)
            except ConnectionError:
                ended.append("cut")

        return flood

    for head in (
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
    ):
        keys.behave, keys.sent = flood(head), 0
        server = await serve_who(jwt={"issuers": [published(keys, max_bytes=10_000)]})
        assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
        # What the kernel keeps for both ends comes on top.
        assert keys.sent < 20_000_000
    assert "answer too big: limit 10000 bytes" in server.stream.getvalue() or ended


async def test_redirecting(serve_who, published, knock, key_servers, key, jwk, mint) -> None:
    """A redirect is not followed, wherever it leads."""
    keys, trap = await key_servers(), await key_servers()
    trap.publish(jwk(key(), kid="main"))
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        keys.reply(b"", status, f"Location: {trap.url}")
        server = await serve_who(jwt={"issuers": [published(keys)]})
        assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
    assert trap.connections == 0


async def test_not_trusted(serve_who, issuer, knock, key_servers, key, jwk, mint) -> None:
    """Keys from a server with a certificate of nobody's are not believed."""
    keys = await key_servers(tls=True)
    keys.publish(jwk(key(), kid="main"))
    server = await serve_who(jwt={"issuers": [issuer(jwks={"url": keys.url})]})
    assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
    assert keys.requests == []


async def test_no_tls_where_it_must_be(
    serve_who, issuer, knock, key_servers, key, jwk, mint, authority_file: Path
) -> None:
    """A server that speaks no TLS is not asked without."""
    keys = await key_servers()
    keys.publish(jwk(key(), kid="main"))
    url = keys.url.replace("http:", "https:")
    trusted = issuer(jwks={"url": url, "server_ca": str(authority_file), "timeout_seconds": 1})
    server = await serve_who(jwt={"issuers": [trusted]})
    assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
    assert keys.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test/keys",
        "http://127.0.0.1.issuer.test/keys",
        "http://localhost.issuer.test/keys",
        "http://10.0.0.1/keys",
        "http://user@localhost/keys",
        "https://user:password@issuer.test/keys",
        "https://issuer.test/keys#part",
        "ftp://issuer.test/keys",
        "file:///etc/keys",
        "https:///keys",
        "https://issuer.test:99999/keys",
        "https://issuer.test/ke ys",
        "issuer.test/keys",
        "",
    ],
)
async def test_not_https(serve_who, issuer, url: str) -> None:
    """Only an address of https is taken, or of http on this machine where that is allowed by name."""
    with pytest.raises(GatewayError) as caught:
        await serve_who(jwt={"issuers": [issuer(jwks={"url": url, "allow_http_on_loopback": True})]})
    assert "authentication.jwt.issuers[0].jwks.url: " in str(caught.value)
    assert "password" not in str(caught.value)


async def test_http_has_to_be_allowed(serve_who, issuer) -> None:
    """Without the option not even this machine is asked over plain HTTP."""
    with pytest.raises(GatewayError, match=r"jwks\.url: not a url of https"):
        await serve_who(jwt={"issuers": [issuer(jwks={"url": "http://127.0.0.1/keys"})]})


async def test_what_is_no_key_set(
    serve_who, published, knock, key_servers, key, jwk, mint, subtests: pytest.Subtests
) -> None:
    """Anything else than a key set with status 200 is no answer."""
    keys = await key_servers()
    good = json.dumps({"keys": [jwk(key(), kid="main")]}).encode()
    for body, status, *lines in (
        (b"", "200 OK"),
        (b"<html>", "200 OK"),
        (b"[]", "200 OK"),
        (b"{}", "200 OK"),
        (b'{"keys": {}}', "200 OK"),
        (b"[" * 100_000, "200 OK"),
        (json.dumps({"keys": [{}] * 101}).encode(), "200 OK"),
        (good, "500 Internal Server Error"),
        (good, "404 Not Found"),
        (good, "206 Partial Content"),
        (b"", "204 No Content"),
        (zlib.compress(good), "200 OK", "Content-Encoding: deflate"),
        (good, "200 OK", "Content-Encoding: gzip"),
        (good, "nonsense"),
    ):
        with subtests.test(body=body[:20], status=status, lines=lines):
            keys.reply(body, status, *lines)
            server = await serve_who(jwt={"issuers": [published(keys)]})
            assert await knock(server, mint(key(), header={"kid": "main"})) == UNAVAILABLE
    keys.reply(good)
    server = await serve_who(jwt={"issuers": [published(keys)]})
    assert (await knock(server, mint(key(), header={"kid": "main"}))).startswith(ACCEPTED)
