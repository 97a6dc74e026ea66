"""A marker in the place of every credential, in every way that one can come: it is never seen again.

A real `gateway run` at level debug, with the log in both of its forms. What is looked through is all that
it logs and prints, all that it answers, its figures, and all that its broker is given.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from itsdangerous import URLSafeTimedSerializer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ON_PURPOSE = "shown-on-purpose-" + "0a1b2c3d"
SECRET = "mrk-secret-of-thirty-two-bytes-or-so"
KEY, OPS = "mrk-static-key-" + "77aa", "mrk-ops-token-" + "88bb"


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_credential_is_seen_again(
    form: str, start: Callable[[str], Awaitable[Any]], service: Any
) -> None:
    """Credentials of every way, in every place, good, bad and malformed, leave no trace of themselves."""
    running, peer = await start(form)
    good = await use_every_way(peer)
    assert " 200 " in await peer.raw("GET /dump HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    dump = peer.received.pop()
    running.process.terminate()
    assert await running.exit_status() == 0

    metrics, broker, connections = json.loads(dump.partition("\r\n\r\n")[2])
    places = {
        "log": "\n".join(running.log),
        "output": "\n".join(running.printed),
        "answers": "\n".join(peer.received),
        "metrics": metrics,
        "broker": "\n".join(broker),
        "connections": "\n".join(connections),
    }
    # The look is sharp: what was shown on purpose is found, and so is a credential in any other writing.
    assert [name for name, text in places.items() if ON_PURPOSE in text] == ["log", "metrics", "broker"]
    for text in (KEY, OPS, quote(SECRET), b64encode(f"ann:{KEY}".encode()).decode(), f"a{good}b"):
        assert peer.markers.found(text), text
    # What was done is told: the test has been where it looks.
    for word in ("opening_refused", "api_refused", "ticket_refused", "renewal_refused", "jwks_failed"):
        assert word in places["log"], word
    for word in ("opening_check_failed", "handler_failed", "api_revoked", "ticket_given", "cannot judge"):
        assert word in places["log"], word
    for word in ("'notify'", "'publish'", "'claim'", "revoke", "disconnect"):
        assert word in places["broker"], word
    for status in (101, 200, 400, 401, 403, 404, 405, 413, 426, 431, 500, 503):
        assert f"HTTP/1.1 {status} " in places["answers"], status
    assert "renewed ann" in places["answers"]
    assert peer.markers.found("\n".join(service.heads)), "the service has seen what it was asked about"
    for name, text in places.items():
        assert peer.markers.found(text) == set(), name


async def use_every_way(peer: Any) -> str:
    """Show credentials wherever there is a place for one; give a good JWT."""
    markers = peer.markers
    good = markers.jwt(role="ops")
    bearers = {
        "good jwt": good,
        "expired": markers.jwt(exp=5),
        "forged": markers.jwt(secret=markers.text("another-secret-of-32-bytes")),
        "cut": good[:-5],
        "unknown key": markers.jwt(iss="published", header={"kid": markers.text("kid")}),
        "own key": markers.jwt(header={"jku": f"https://{markers.text('jku')}.test", "kid": markers.text()}),
        "foreign": markers.jwt(iss=markers.text("issuer"), aud=markers.text("audience")),
        "no user": markers.jwt(sub=markers.text("user") + "\n"),
        "odd types": markers.jwt(sub=[markers.text("list")], groups=markers.text("groups")),
        "dots": f"{markers.text()}.{markers.text()}.{markers.text()}",
        "no json": ".".join(urlsafe_b64encode(markers.text().encode()).decode().strip("=") for _ in "abc"),
        "wrong": markers.text("wrong"),
        "key": KEY,
        "ops": OPS,
        "good": markers.text("service-good"),
        "refuses": markers.text("service-refuses"),
        "fails": markers.text("service-fails"),
        "drops": markers.text("service-drops"),
        "redirects": markers.text("service-redirects"),
        "nonsense": markers.text("service-nonsense"),
        "huge": markers.note(markers.text("huge") + "x" * 5000),
        "too huge": markers.note(markers.text("too-huge") + "x" * 9000),
    }
    for token in bearers.values():
        quoted = quote(token, safe="")
        header, cookie = (
            f"Authorization: Bearer {token}",
            f"Cookie: session={token}; token={token}; x={token}",
        )
        protocol = f"Sec-WebSocket-Protocol: chat, bearer.{token}"
        origin = "Origin: https://app.test"
        for path in ("/all", "/breaks", "/open", "/nowhere"):
            await peer.open(path, header)
            await peer.open(path, protocol)
            await peer.open(f"{path}?token={quoted}&ticket={quoted}&x={quoted}")
        await peer.open("/cookie", cookie, origin)
        # The host of a refused origin is told: no browser puts anything else there.
        await peer.open("/cookie", cookie, f"Origin: https://{token[:60]}@foreign.test?{token[:60]}")
        await peer.open("/forward", header, origin)
        await peer.open(f"/forward?token={quoted}", origin)
        await peer.open("/forward", protocol, cookie, f"X-Api-Key: {token}", origin)
        await peer.open("/all", f"Sec-WebSocket-Protocol: chat, ticket.{token}")
        await peer.open("/all", protocol, f"Authorization: Bearer {markers.text('second')}")
        for path in ("/api/publish", "/api/tickets", "/api/nothing"):
            await peer.post(path, header, body='{"group": "none", "data": 1}')
            await peer.post(f"{path}?token={quoted}", cookie)
    await malformed(peer)
    await tickets(peer, good)
    await peer.renew(*bearers.values(), f"{KEY}\r\nX: {markers.text()}", markers.text("ü"), KEY)
    await peer.renew(f"careless {markers.text('careless')}")
    await peer.renew(f"careless {bearers['expired']}")
    await sessions(peer)
    await calls(peer, good)
    return good


async def malformed(peer: Any) -> None:
    """Send requests that are none, with credentials in them."""
    text = peer.markers.text
    basic = peer.markers.note(b64encode(b"ann:" + text("password").encode()).decode())
    for value in (
        f"Basic {basic}",
        f"Digest username={text()}, response={text()}",
        f"bearer  {text()}",
        f"Bearer {text()} {text()}",
        f"Bearer {text()}, Bearer {text()}",
        f'Bearer "{text()}"',
        f"Bearer {text()}\u00e4",
        f"{text()}",
        f"Bearer\t{text()}",
        f"Bearer {text()}\x00",
        f"Bearer {text()}\r\n {text('folded')}",
        f"Bearer {text()}\n{text('line')}",
        f"Bearer {text()}\r\nAuthorization: Bearer {text()}",
        f"Bearer {text()}\r\nHost: {text()}",
        f"Bearer {text()}\r\nOrigin: {text()}\r\nOrigin: {text()}",
        f"Bearer {text()}\r\n{text('no-colon')}",
        f"Bearer {text()}\r\n{text('space')} : x",
        f"Bearer {text()}\r\nTransfer-Encoding: {text()}",
        f"Bearer {text()}\r\nContent-Length: 5\r\n\r\n{text('body')}",
    ):
        await peer.open("/all", f"Authorization: {value}")
        await peer.post("/api/publish", f"Authorization: {value}")
        await peer.post("/api/tickets", f"Authorization: {value}")
    for target in (
        f"http://{text()}:{text()}@localhost/all",
        f"http://else.test/all?token={text()}",
        f"//all?token={text()}",
        f"/all#{text()}",
        f"/all?token={text()}%zz",
        f"/all?token=\u00e4{text()}",
        f"/../all?token={text()}",
        f"*?{text()}",
    ):
        await peer.open(target)
    await peer.open(f"/all?token={text()}", version="1.0")
    await peer.open(f"/all?token={text()}", version="9.9")
    await peer.raw(f"GET /all?token={text()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text()}\r\n\r\n")
    await peer.raw(
        f"GET /healthz?token={text()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text()}\r\n\r\n"
    )
    await peer.raw(f"PUT /api/publish?token={text()} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    await peer.raw(f"{text('verb')} /all?{text()} HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.raw(b"\x16\x03\x01\x02\x00\x01\x00" + text("tls").encode(), b"\r\n\r\n")


async def tickets(peer: Any, token: str) -> None:
    """Have tickets given, and use them once, again, and wrongly."""
    for place in ("/all?ticket={0}", "ticket.{0}"):
        assert " 201 " in await peer.post("/api/tickets", f"Authorization: Bearer {token}")
        ticket = json.loads(peer.received.pop().partition("\r\n\r\n")[2])["ticket"]  # it is the answer
        peer.markers.note(ticket)
        target, line = "/all", "X-Nothing: 1"
        if place.startswith("/"):
            target = place.format(ticket)
        else:
            line = f"Sec-WebSocket-Protocol: chat, {place.format(ticket)}"
        assert " 101 " in await peer.open(target, line)
        assert " 401 " in await peer.open(target, line)
        assert " 401 " in await peer.open(f"/all?ticket={ticket}&ticket={peer.markers.text()}")


async def sessions(peer: Any) -> None:
    """Show session cookies, good and bad."""
    origin = "Origin: https://app.test"
    serializer = URLSafeTimedSerializer(
        [SECRET], salt="cookie-session", signer_kwargs={"key_derivation": "hmac"}
    )
    good = str(serializer.dumps({"user": "ann", "more": peer.markers.text()}))
    for cookie, status in ((good, 101), (good[:-3], 401), (peer.markers.text(), 401)):
        peer.markers.note(cookie)
        assert f" {status} " in await peer.open("/cookie", origin, f"Cookie: session={cookie}")
    await peer.open("/cookie", origin, f"Cookie: session={good}; session={peer.markers.text()}")


async def calls(peer: Any, token: str) -> None:
    """Call the API with good credentials, and bodies of all kinds."""
    text = peer.markers.text
    for path, body, status in (
        ("/api/publish", {"group": "none", "data": 1}, 200),
        ("/api/publish", {"group": "none", "data": text(), text(): 1}, 400),
        ("/api/publish", {"group": text(), "data_base64": text()}, 400),
        ("/api/publish", {"group": "none", "data": text() * 200}, 413),
        ("/api/disconnect", {"user": "nobody"}, 200),
        ("/api/disconnect", {"user": "nobody", "code": text()}, 400),
        ("/api/disconnect", {"claims": text()}, 400),
        ("/api/revoke", {"jti": "none"}, 200),
        ("/api/revoke", {"token": text()}, 400),
        ("/api/revoke", {"jti": text(), "user": text()}, 400),
        ("/api/revoke", {"user": "nobody", "expires_at": text()}, 400),
        ("/api/tickets", {"routes": [text()]}, 400),
    ):
        for line in (f"Authorization: Bearer {OPS}", f"Authorization: Bearer {token}"):
            if path != "/api/tickets" or OPS not in line:
                assert f" {status} " in await peer.post(path, line, body=json.dumps(body)), (path, body)
    await peer.post("/api/publish", f"Authorization: Bearer {OPS}", body=text("no-json"))
