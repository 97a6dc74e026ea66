"""Tests of the way `cookie`: sessions that an application of the same site has set, over raw sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import zlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway import GatewayError
from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

ORIGIN = "https://app.example.com"
ROUTE = {"allowed_origins": [ORIGIN], "allow_missing_origin": False}
SECRET = "a-secret-of-the-test-0123456789abcdef"
OLD = "an-older-secret-of-the-test-0123456789"

ACCEPTED = b"HTTP/1.1 101 "
REFUSED = REFUSALS["unauthorized"].to_bytes()
FOREIGN = REFUSALS["origin_not_allowed"].to_bytes()


def part(data: bytes) -> bytes:
    """Write bytes in base64url."""
    return urlsafe_b64encode(data).rstrip(b"=")


def sign(
    session: Any,
    *,
    secret: str = SECRET,
    salt: bytes = b"cookie-session",
    digest: str = "sha1",
    signed: float = 0,
    compressed: bool = False,
) -> str:
    """Write a session cookie by hand, as Flask does.

    Args:
        session: What it holds; bytes as they are.
        secret: The secret.
        salt: The salt, mixed in by an HMAC.
        digest: The hash.
        signed: When it was signed, in seconds from now.
        compressed: Whether the session is compressed.
    """
    body = session if isinstance(session, bytes) else json.dumps(session).encode()
    payload = b"." + part(zlib.compress(body)) if compressed else part(body)
    stamp = int(time.time() + signed)
    text = payload + b"." + part(stamp.to_bytes((stamp.bit_length() + 7) // 8, "big"))
    derived = hmac.digest(secret.encode(), salt, digest)
    return (text + b"." + part(hmac.digest(derived, text, digest))).decode()


@pytest.fixture
def visit(knock) -> Callable[..., Awaitable[bytes]]:
    """Give a function that opens a connection as a browser does: with cookies and an origin."""

    async def visit(server: Served, cookie: str, origin: str | None = ORIGIN) -> bytes:
        lines = [f"Cookie: {cookie}", *([] if origin is None else [f"Origin: {origin}"])]
        return await knock(server, None, *lines)

    return visit


class TestSigned:
    """A session that is signed with a shared secret."""

    @pytest_asyncio.fixture
    async def server(self, serve_who) -> Served:
        """A gateway that takes sessions with a new and an old secret."""
        signed = {"secrets": ["${SECRET}", OLD], "user_claim": "_user_id", "groups_claim": "teams"}
        cookie = {"name": "session", "signed": signed | {"max_age_seconds": 600, "leeway_seconds": 5}}
        return await serve_who(cookie=cookie, route=ROUTE, environ={"SECRET": SECRET})

    async def test_the_identity_of_a_session(self, server: Served) -> None:
        """User and groups come from the session, its end from its age."""
        now = int(time.time())
        session = {"_user_id": "ann", "teams": ["red"], "_fresh": True}
        headers = {"Cookie": f"a=b; session={sign(session)}"}
        async with server.connect("/who", additional_headers=headers, origin=ORIGIN) as client:
            said = json.loads(await client.recv())
        assert (said["user"], said["claims"], said["proved_by"]) == ("ann", session, "cookie")
        assert said["joined"] == said["groups"] == ["red"]
        assert said["token_id"] is None
        assert 0 <= said["issued_at"] - now <= 5
        assert said["expires_at"] == said["issued_at"] + 605
        assert sign(session) not in server.stream.getvalue()

    async def test_good_sessions(self, server: Served, visit) -> None:
        """Either secret, a user id that is a number, and a compressed session are good."""
        for cookie in (
            sign({"_user_id": "ann"}, secret=OLD),
            sign({"_user_id": 7}),
            sign({"_user_id": "ann", "padding": "x" * 500}, compressed=True),
            sign({"_user_id": "ann"}, signed=-590),
            sign({"_user_id": "ann"}, signed=4),
        ):
            assert (await visit(server, f"session={cookie}")).startswith(ACCEPTED)

    async def test_bad_sessions(self, server: Served, visit, subtests: pytest.Subtests) -> None:
        """What is not signed, not in time or not a session is refused, and leaves no trace."""
        good = sign({"_user_id": "ann"})
        payload, stamp, signature = good.split(".")
        for cookie in (
            "x",
            "..",
            f"{payload}.{stamp}.",
            f"{payload}.{stamp}",
            f"{part(b'{}').decode()}.{stamp}.{signature}",
            f"{payload}.AAAA.{signature}",
            f"{payload}.{stamp}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
            good + ".x",
            sign({"_user_id": "ann"}, secret="another-secret-0123456789abcdef-0123"),
            sign({"_user_id": "ann"}, salt=b"another"),
            sign({"_user_id": "ann"}, digest="sha256"),
            sign({"_user_id": "ann"}, signed=-620),
            sign({"_user_id": "ann"}, signed=60),
            sign({}),
            sign({"_user_id": ""}),
            sign({"_user_id": True}),
            sign({"_user_id": None}),
            sign({"_user_id": ["ann"]}),
            sign({"_user_id": "ann", "teams": ["$everyone"]}),
            sign({"_user_id": "ann", "teams": "red"}),
            sign([]),
            sign("ann"),
            sign(b"{"),
            sign(b"[" * 3000),
            "\xff\xfe",
        ):
            with subtests.test(cookie=cookie[:40]):
                assert await visit(server, f"session={cookie}") == REFUSED
                assert len(cookie) < 5 or cookie not in server.stream.getvalue()
        assert not [line for line in server.log if line["level"] == "error"]

    async def test_two_sessions(self, server: Served, visit) -> None:
        """Of two sessions none is chosen, since one may be somebody else's; the same one twice is one."""
        first, second = sign({"_user_id": "ann"}), sign({"_user_id": "bob"})
        assert await visit(server, f"session={first}; session={second}") == REFUSED
        assert await visit(server, f"session={first}; session=x") == REFUSED
        assert (await visit(server, f"session={first}; session={first}")).startswith(ACCEPTED)

    async def test_no_session(self, server: Served, visit, knock) -> None:
        """Without the cookie there are no credentials, whatever else comes."""
        good = sign({"_user_id": "ann"})
        for cookie in ("a=b", f"Session={good}", f"xsession={good}", "session=", f"a={good}"):
            assert await visit(server, cookie) == REFUSED
        assert await knock(server, good, f"Origin: {ORIGIN}") == REFUSED

    async def test_other_origins(self, server: Served, visit, subtests: pytest.Subtests) -> None:
        """A page of another origin, and a client without one, are refused before the cookie is looked at."""
        cookie = f"session={sign({'_user_id': 'ann'})}"
        for origin in (
            None,
            "null",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "https://evil-app.example.com",
            "http://app.example.com",
            "https://app.example.com:444",
            "https://localhost",
        ):
            with subtests.test(origin=origin):
                assert await visit(server, cookie, origin) == FOREIGN
        assert (await visit(server, cookie)).startswith(ACCEPTED)


class TestJwt:
    """A session that is a JWT."""

    async def test_a_jwt_in_a_cookie(self, serve_who, issuer, visit, key, pem, mint) -> None:
        """It is verified as the way `jwt` does, with settings of its own."""
        cookie = {"name": "__Host-id", "jwt": {"issuers": [issuer({"public_key": pem(key())})]}}
        server = await serve_who(cookie=cookie, route=ROUTE)
        assert (await visit(server, f"__Host-id={mint(key())}")).startswith(ACCEPTED)
        for token in (
            mint(key(name="another")),
            mint(key(), aud="x"),
            mint(None, "none"),
            "x",
            "a.b",
            "a.b.c",
        ):
            assert await visit(server, f"__Host-id={token}") == REFUSED
        assert await visit(server, f"__Host-id={mint(key())}", "https://evil.example") == FOREIGN

    async def test_the_keys_may_be_published(
        self, serve_who, published, visit, key_servers, key, jwk, mint
    ) -> None:
        """Its issuer's keys are fetched as those of the way `jwt` are."""
        keys = await key_servers()
        keys.publish(jwk(key(), kid="main"))
        cookie = {"name": "id", "jwt": {"issuers": [published(keys)]}}
        server = await serve_who(cookie=cookie, route=ROUTE)
        assert (await visit(server, f"id={mint(key(), header={'kid': 'main'})}")).startswith(ACCEPTED)


class TestOrigins:
    """A route whose identity a cookie proves has to list its origins."""

    @pytest.mark.parametrize(
        ("route", "place"),
        [
            ({}, "authenticate[0]"),
            ({"allowed_origins": None}, "authenticate[0]"),
            ({"allowed_origins": ["*"]}, "allowed_origins[0]"),
            ({"allowed_origins": [ORIGIN, "*"]}, "allowed_origins[1]"),
            ({"allowed_origins": [ORIGIN], "allow_missing_origin": True}, "allow_missing_origin"),
        ],
    )
    async def test_the_way(self, serve_who, route: dict[str, Any], place: str) -> None:
        """The configuration is refused at the place that would let any page in."""
        cookie = {"name": "session", "signed": {"secrets": [SECRET]}}
        with pytest.raises(GatewayError) as caught:
            await serve_who(cookie=cookie, route={"allow_missing_origin": False, **route})
        (line,) = str(caught.value).splitlines()
        assert f": routes[0].{place}: a cookie proves the identity, and " in line
        assert SECRET not in line

    async def test_the_place(self, serve_who) -> None:
        """The same holds where a bearer credential may come in a cookie."""
        token = {"keys": [{"name": "k", "user": "kim", "token": "static-token-0123456789"}]}
        route = {"credentials_from": ["header", "cookie:token"], "allow_missing_origin": False}
        with pytest.raises(GatewayError, match=r"routes\[0\]\.credentials_from\[1\]: a cookie proves"):
            await serve_who(token=token, route=route)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"name": "s"}, "authentication.cookie: exactly one of jwt and signed is needed"),
        (
            {"name": "s s", "signed": {"secrets": [SECRET]}},
            "cookie.name: name of a cookie is not an http token",
        ),
        ({"name": "s", "signed": {"secrets": []}}, "cookie.signed.secrets: too few entries: 0, at least 1"),
        (
            {"name": "s", "signed": {"secrets": ["hush" * 7]}},
            "secrets[0]: secret too short: 28 bytes",
        ),
    ],
)
async def test_settings_that_are_refused(serve_who, settings: dict[str, Any], text: str) -> None:
    """What would be unsafe is refused at its place, and the secret is not shown."""
    with pytest.raises(GatewayError) as caught:
        await serve_who(cookie=settings, route=ROUTE)
    assert text in str(caught.value)
    assert "hush" not in str(caught.value)


def test_the_form_is_flasks() -> None:
    """The hand-made cookie of these tests is what itsdangerous makes with Flask's settings."""
    from itsdangerous import URLSafeTimedSerializer  # noqa: PLC0415 - only here

    made = URLSafeTimedSerializer(
        SECRET, salt="cookie-session", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1}
    )
    assert made.loads(sign({"a": 1})) == {"a": 1}
