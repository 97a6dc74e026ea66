"""Tests of the way `jwt`: what attackers' tokens get, over raw sockets.

A token is judged by the same code however it comes; what is sent back is, over TLS, seen in two of the tests.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

ISSUER = "https://issuer.test"
OTHER = "https://other.test"
SECRET = "s" + "ecret-of-the-test-0123456789abcdef"

ACCEPTED = b"HTTP/1.1 101 "
REFUSED = REFUSALS["unauthorized"].to_bytes()

IDS = (
    "../../../../dev/null",
    "/etc/passwd",
    "file:///dev/null",
    "main' UNION SELECT 'secret",
    "main\0",
    "main; rm -rf /",
    "${JWT_SECRET}",
    "x" * 3000,
    "",
    7,
    None,
    ["main"],
    {"main": 1},
    True,
)

EXTENSIONS: tuple[dict[str, Any], ...] = (
    {"crit": ["x"], "x": 1},
    {"crit": ["exp"]},
    {"crit": ["b64"], "b64": True},
    {"crit": ["b64"], "b64": False},
    {"b64": False},
    {"crit": []},
    {"crit": "x"},
    {"crit": None},
)

CLAIMS: tuple[dict[str, Any], ...] = (
    {"exp": None},
    {"iss": None},
    {"aud": None},
    {"sub": None},
    {"exp": 1},
    {"exp": -1},
    {"exp": 0},
    {"exp": "99999999999"},
    {"exp": "soon"},
    {"exp": True},
    {"exp": [99999999999]},
    {"exp": 1e300},
    {"exp": 10**400},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"exp": 4102444800000},
    {"nbf": 4102444800},
    {"nbf": "0"},
    {"nbf": {}},
    {"nbf": float("-inf")},
    {"iat": 4102444800},
    {"iat": "now"},
    {"iat": [1]},
    {"aud": "another"},
    {"aud": ["another", "third"]},
    {"iss": "https://evil.test"},
    {"iss": ISSUER + "/"},
    {"iss": ISSUER.upper()},
    {"iss": [ISSUER]},
    {"iss": {ISSUER: 1}},
    {"iss": 1},
    {"iss": ""},
    {"sub": 7},
    {"sub": ["ann"]},
    {"sub": {"a": 1}},
    {"sub": True},
    {"sub": ""},
    {"sub": "x" * 513},
    {"sub": "ann\nroot"},
    {"sub": "ann\0"},
    {"sub": "\ud800"},
    {"jti": 7},
    {"jti": ["x"]},
    {"groups": "red"},
    {"groups": {"red": 1}},
    {"groups": ["red", 7]},
    {"groups": ["red", ""]},
    {"groups": ["$everyone"]},
    {"groups": ["red", "$user:bob"]},
    {"groups": ["x" * 513]},
    {"groups": ["a\nb"]},
    {"groups": [["red"]]},
    {"groups": [str(number) for number in range(101)]},
)


def test_the_answer_names_the_scheme() -> None:
    """The exact answer that the tests below await is 401 with its challenge (RFC 9110 section 11.6.1)."""
    head, _, body = REFUSED.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in head
    assert json.loads(body)["error"] == "unauthorized"


BOTH = pytest.mark.parametrize("tls", ["plain", "tls"], indirect=True)


@pytest.fixture
def tls(request: pytest.FixtureRequest, certificate: dict[str, str]) -> dict[str, str] | None:
    """The listener's TLS, or none, as without a parameter."""
    return certificate if getattr(request, "param", "plain") == "tls" else None


@pytest_asyncio.fixture
async def server(serve_who, issuer, key, pem, tls) -> Served:
    """A gateway that believes two issuers by public keys, each by its own, and a third by a secret."""
    first = issuer({"id": "main", "public_key": pem(key())}, groups_claim="groups")
    second = issuer({"id": "main", "public_key": pem(key(name="other"))}, issuer=OTHER)
    third = issuer({"id": "main", "secret": SECRET}, algorithms=["HS256"], issuer="https://hs.test")
    listen = {"max_header_bytes": 131_072, "tls": tls}
    return await serve_who(jwt={"issuers": [first, second, third]}, listen=listen)


@pytest.fixture
def refuses(server: Served, knock) -> Callable[..., Awaitable[None]]:
    """Give a function that asserts that a token gets the exact refusal, and leaves no trace of itself."""

    async def refuses(token: str) -> None:
        before = len(server.log)
        assert await knock(server, token) == REFUSED
        (line,) = [line for line in server.log[before:] if line["event"] == "opening_refused"]
        assert (line["status"], line["error"]) == (401, "unauthorized")
        assert len(token) < 9 or token not in server.stream.getvalue()
        assert not [line for line in server.log if line["level"] == "error"]
        assert server.node.metrics.connections_opened == 0

    return refuses


@BOTH
async def test_good_one(server: Served, knock, key, mint) -> None:
    """The token that the attacks below are made of is good."""
    good = mint(key(), header={"kid": "main"}, groups=["red"], jti="1", nbf=int(time.time()))
    assert (await knock(server, good)).startswith(ACCEPTED)
    hs = mint(SECRET.encode(), "HS256", iss="https://hs.test", header={"kid": "main"})
    assert (await knock(server, hs)).startswith(ACCEPTED)


async def test_none(refuses, mint, subtests: pytest.Subtests) -> None:
    """A token that is not signed proves nothing, however its algorithm is written."""
    for name in ("none", "None", "NONE", "nOnE", "", None, 0, ["none"], ["RS256"], {"a": 1}):
        with subtests.test(name=name):
            unsigned = mint(None, "none", header={"alg": name, "kid": "main"})
            await refuses(unsigned)
            await refuses(unsigned + "AAAA")


@BOTH
async def test_signature_left_out(refuses, key, mint) -> None:
    """A good token without its signature, or with a part of it, or with another's, proves nothing."""
    good = mint(key(), header={"kid": "main"})
    signed, signature = good.rsplit(".", 1)
    other = mint(key(), header={"kid": "main"}, sub="bob").rsplit(".", 1)[1]
    for forged in ("", signature[:-4], signature[4:], other, "A" * len(signature), signature + "AAAA"):
        await refuses(f"{signed}.{forged}")


async def test_changed_claims(refuses, key, mint) -> None:
    """Claims that were changed after the signing prove nothing."""
    head, _, signature = mint(key(), header={"kid": "main"}).split(".")
    _, claims, _ = mint(key(), header={"kid": "main"}, sub="root").split(".")
    await refuses(f"{head}.{claims}.{signature}")


async def test_algorithm_confusion(refuses, key, pem, jwk, mint) -> None:
    """What is public is no secret: a public key in any form signs nothing (RFC 8725 section 2.1)."""
    public = pem(key())
    as_jwk = json.dumps(jwk(key()))
    for secret in (
        public,
        public.strip(),
        public + "\n",
        as_jwk,
        as_jwk.replace(" ", ""),
        jwk(key())["n"],
    ):
        for iss in (ISSUER, "https://hs.test"):
            for alg in ("HS256", "HS384", "HS512"):
                await refuses(mint(secret.encode(), alg, iss=iss, header={"kid": "main"}))


async def test_another_algorithm_of_the_same_key(refuses, key, mint) -> None:
    """An algorithm that the issuer does not list is refused, though the key could verify it."""
    for alg in ("RS384", "RS512", "PS256"):
        await refuses(mint(key(), alg, header={"kid": "main"}))


async def test_a_foreign_issuers_key_with_our_id(refuses, key, mint) -> None:
    """A key is its issuer's only, whatever id the token names (GHSA-g6vg-wj8f-48cj)."""
    await refuses(mint(key(name="other"), header={"kid": "main"}))
    await refuses(mint(key(), header={"kid": "main"}, iss=OTHER))
    await refuses(mint(key(name="strangers"), header={"kid": "main"}))
    await refuses(mint(SECRET.encode(), "HS256", header={"kid": "main"}))


async def test_an_id_is_only_compared(refuses, key, mint, subtests: pytest.Subtests) -> None:
    """An id of a key is no path, no query and no template; what is no text is no id."""
    for kid in IDS:
        with subtests.test(kid=kid):
            await refuses(mint(key(), header={"kid": kid}))
            # With the empty key that an empty file would be.
            await refuses(mint(b"", "HS256", iss="https://hs.test", header={"kid": kid}))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
async def test_keys_of_the_tokens_own(refuses, key_servers, key, jwk, pem, mint, name: str) -> None:
    """A key that the token brings is not used, and no address that it names is asked."""
    trap = await key_servers()
    mine = key(name="attackers")
    trap.publish(jwk(mine, kid="main"))
    value: Any = {"jku": trap.url, "x5u": trap.url, "jwk": jwk(mine, kid="main"), "x5c": [pem(mine)]}[name]
    for kid in ("main", "other", trap.url):
        await refuses(mint(mine, header={name: value, "kid": kid}))
    await refuses(mint(mine, header={name: value}, iss=trap.url))
    assert trap.connections == 0


async def test_brought_keys_are_ignored_in_a_good_token(server, knock, key_servers, key, mint) -> None:
    """A good token that names an address is good, and the address is not asked."""
    trap = await key_servers()
    good = mint(key(), header={"kid": "main", "jku": trap.url, "x5u": trap.url})
    assert (await knock(server, good)).startswith(ACCEPTED)
    assert trap.connections == 0


async def test_extensions(refuses, key, mint, subtests: pytest.Subtests) -> None:
    """No extension is understood, so that one that must be is refused (RFC 7515 section 4.1.11)."""
    for header in EXTENSIONS:
        with subtests.test(header=header):
            await refuses(mint(key(), header={"kid": "main", **header}))


async def test_claims(refuses, key, mint, subtests: pytest.Subtests) -> None:
    """A token that is signed well and says what no good one does, is refused."""
    for claims in CLAIMS:
        with subtests.test(claims=ascii(claims)[:60]):
            await refuses(mint(key(), header={"kid": "main"}, **claims))


async def test_parts_that_are_none(refuses, key, mint, subtests: pytest.Subtests) -> None:
    """What is no JSON object, or takes its parser too far, is refused before any key is looked for."""
    digits = b'{"iss": "https://issuer.test", "exp": ' + b"9" * 5_000 + b"}"
    for part in (
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"7",
        b"{",
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"a":' * 5_000,
        digits,
    ):
        with subtests.test(payload=part[:20]):
            await refuses(mint(key(), header={"kid": "main"}, payload=part))
        with subtests.test(header=part[:20]):
            await refuses(mint(key(), header=part))


async def test_forms(refuses, key, mint, subtests: pytest.Subtests) -> None:
    """Fewer or more parts, or characters beside base64url, are no token."""
    parts = mint(key(), header={"kid": "main"}).split(".")
    for form in (
        "{0}.{1}",
        "{0}..{2}",
        ".{1}.{2}",
        "{0}.{1}.{2}.",
        "{0}.{1}.{2}.x.y",
        "{0}.{1}.{2}=",
        "..",
        ".",
    ):
        with subtests.test(form=form):
            await refuses(form.format(*parts))


async def test_too_long(refuses, key, mint) -> None:
    """A token of 64 KiB is refused by its length, where the header limit lets it come so far."""
    token = mint(key(), header={"kid": "main"}, padding="x" * 49_152)
    assert len(token) > 65_536
    await refuses(token)


async def test_too_long_for_the_header_limit(serve_who, issuer, knock, key, pem, mint, tls) -> None:
    """With the usual limit it is refused before anything of it is looked at."""
    server = await serve_who(jwt={"issuers": [issuer({"public_key": pem(key())})]}, listen={"tls": tls})
    answer = await knock(server, mint(key(), padding="x" * 49_152))
    assert answer == REFUSALS["headers_too_large"].to_bytes()


async def test_the_answer_tells_nothing_of_the_reason(server: Served, refuses, key, mint) -> None:
    """Only the log says why, in words of its own."""
    now = int(time.time())
    await refuses(mint(key(), header={"kid": "main"}, exp=now - 60))
    await refuses(mint(key(), header={"kid": "main"}, aud="marker-of-the-test"))
    await refuses(mint(key(name="another"), header={"kid": "main"}))
    await refuses(mint(key(), header={"kid": "marker-of-the-test"}))
    await refuses(mint(key(), iss="marker-of-the-test"))
    details = [line["detail"] for line in server.log if line["event"] == "opening_refused"]
    assert details == [
        "jwt has expired",
        "jwt is for another audience",
        "jwt has a bad signature",
        "jwt names no known key",
        "jwt has an unknown issuer",
    ]
    assert "marker-of-the-test" not in server.stream.getvalue()
