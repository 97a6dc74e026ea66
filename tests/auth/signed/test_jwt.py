"""Tests of the way `jwt`: what good tokens prove, over raw sockets."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OTHER = "https://other.test"
SECRET = "s" + "ecret-of-the-test-0123456789abcdef"

ACCEPTED = b"HTTP/1.1 101 "
REFUSED = REFUSALS["unauthorized"].to_bytes()

PUBLIC = (
    ("RS256", "RSA-2048"),
    ("RS384", "RSA-2048"),
    ("RS512", "RSA-3072"),
    ("PS256", "RSA-2048"),
    ("PS384", "RSA-2048"),
    ("PS512", "RSA-2048"),
    ("ES256", "P-256"),
    ("ES384", "P-384"),
    ("ES512", "P-521"),
    ("EdDSA", "Ed25519"),
    ("EdDSA", "Ed448"),
)


async def test_each_algorithm_with_a_public_key(
    serve_who, issuer, knock, key, pem, mint, subtests: pytest.Subtests
) -> None:
    """A token of a listed algorithm opens a connection, one of another key does not."""
    issuers = [
        issuer({"public_key": pem(key(kind))}, algorithms=[alg], issuer=f"{alg} {kind}")
        for alg, kind in PUBLIC
    ]
    server = await serve_who(jwt={"issuers": issuers})
    for alg, kind in PUBLIC:
        with subtests.test(alg=alg, kind=kind):
            assert (await knock(server, mint(key(kind), alg, iss=f"{alg} {kind}"))).startswith(ACCEPTED)
            assert await knock(server, mint(key(kind, "another"), alg, iss=f"{alg} {kind}")) == REFUSED


async def test_each_algorithm_with_a_secret(
    serve_who, issuer, knock, mint, subtests: pytest.Subtests
) -> None:
    """A secret may come from the environment, and has as many bytes as the hash at least."""
    secrets = {"HS256": "a" * 32, "HS384": "b" * 48, "HS512": "c" * 64}
    issuers = [issuer({"secret": f"${{{alg}}}"}, algorithms=[alg], issuer=alg) for alg in secrets]
    server = await serve_who(jwt={"issuers": issuers}, environ=secrets)
    for alg, secret in secrets.items():
        with subtests.test(alg=alg):
            assert (await knock(server, mint(secret.encode(), alg, iss=alg))).startswith(ACCEPTED)
            assert await knock(server, mint(b"x" + secret.encode()[1:], alg, iss=alg)) == REFUSED
            assert secret not in server.stream.getvalue()


async def test_the_identity_of_a_token(serve_who, issuer, key, pem, mint) -> None:
    """User, claims, groups, end and id come from the claims; the leeway is part of the end."""
    good = issuer({"public_key": pem(key())}, groups_claim="teams")
    server = await serve_who(
        jwt={"issuers": [good], "leeway_seconds": 7}, route={"groups": ["everyone", "to:{user}"]}
    )
    now = int(time.time())
    claims = {"exp": now + 60, "iat": now - 1.5, "jti": "t-1", "teams": ["red", "blue", "red"], "x": [1]}
    token = mint(key(), **claims)
    async with server.connect("/who", additional_headers={"Authorization": f"Bearer {token}"}) as client:
        said = json.loads(await client.recv())
    assert said == {
        "user": "ann",
        "claims": {"iss": "https://issuer.test", "aud": "gateway", "sub": "ann", **claims},
        "groups": ["red", "blue"],
        "joined": ["everyone", "to:ann", "red", "blue"],
        "proved_by": "jwt",
        "token_id": "t-1",
        "expires_at": now + 67,
        "issued_at": now - 1.5,
    }
    assert token not in server.stream.getvalue()


async def test_claims_cannot_be_changed(serve_who, issuer, knock, key, pem, mint) -> None:
    """What was proved stays what it was, whatever a handler does."""
    server = await serve_who(jwt={"issuers": [issuer({"public_key": pem(key())})]})
    async with server.connect("/who", additional_headers={"Authorization": f"Bearer {mint(key())}"}):
        (connection,) = server.node.connections()
        assert connection.identity is not None
        assert not hasattr(connection.identity.claims, "__setitem__")


async def test_another_claim_for_the_user(serve_who, issuer, knock, key, pem, mint) -> None:
    """The user may stand in another claim, without which the token proves nobody."""
    good = issuer({"public_key": pem(key())}, user_claim="https://x.test/user")
    server = await serve_who(jwt={"issuers": [good]})
    assert (await knock(server, mint(key(), **{"https://x.test/user": "bob"}))).startswith(ACCEPTED)
    assert await knock(server, mint(key())) == REFUSED


async def test_keys_from_files(serve_who, issuer, knock, key, pem, mint, tmp_path: Path) -> None:
    """A file holds a public key, or a secret, whose last line break is not part of it."""
    (tmp_path / "key.pem").write_text(pem(key()))
    (tmp_path / "secret").write_text(SECRET + "\n")
    first = issuer({"file": str(tmp_path / "key.pem")})
    second = issuer({"file": str(tmp_path / "secret")}, algorithms=["HS256"], issuer=OTHER)
    server = await serve_who(jwt={"issuers": [first, second]})
    for token in (mint(key()), mint(SECRET.encode(), "HS256", iss=OTHER)):
        assert (await knock(server, token)).startswith(ACCEPTED)


async def test_a_certificate_for_a_key(serve_who, issuer, knock, mint, certificate: dict[str, str]) -> None:
    """A key may come in its certificate; whether that is still valid, nobody asks."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - only here

    with open(certificate["key"], "rb") as file:  # noqa: ASYNC230, PTH123 - a test
        private = load_pem_private_key(file.read(), None)
    good = issuer({"file": certificate["certificate"]}, algorithms=["ES256", "RS256"])
    alg = "ES256" if hasattr(private, "curve") else "RS256"
    server = await serve_who(jwt={"issuers": [good | {"algorithms": [alg]}]})
    assert (await knock(server, mint(private, alg))).startswith(ACCEPTED)


async def test_audiences(serve_who, issuer, knock, key, pem, mint, subtests: pytest.Subtests) -> None:
    """One audience in common is enough, in whatever order."""
    good = issuer({"public_key": pem(key())}, audience=["gateway", "chat"])
    server = await serve_who(jwt={"issuers": [good]})
    for audience in ("gateway", "chat", ["x", "chat"]):
        with subtests.test(audience=audience):
            assert (await knock(server, mint(key(), aud=audience))).startswith(ACCEPTED)
    for audience in ("x", ["x", "y"], [], [["gateway"]], {"gateway": 1}, 1, "gateway ", None):
        with subtests.test(audience=audience):
            assert await knock(server, mint(key(), aud=audience)) == REFUSED


async def test_keys_with_ids(serve_who, issuer, knock, key, pem, mint, subtests: pytest.Subtests) -> None:
    """A key with an id is for the tokens that name it, or none; one without is for those of other ids."""
    keys = [{"id": name, "public_key": pem(key(name=name))} for name in ("one", "two")]
    keys.append({"public_key": pem(key(name="any"))})
    server = await serve_who(jwt={"issuers": [issuer(*keys)]})
    for signer, kid, good in (
        ("one", "one", True),
        ("two", "two", True),
        ("one", None, True),
        ("two", None, True),
        ("any", None, True),
        ("any", "unheard-of", True),
        ("one", "two", False),
        ("one", "unheard-of", False),
        ("any", "one", False),
    ):
        with subtests.test(signer=signer, kid=kid):
            answer = await knock(server, mint(key(name=signer), header={} if kid is None else {"kid": kid}))
            assert answer.startswith(ACCEPTED) if good else answer == REFUSED


async def test_clocks_may_differ_by_the_leeway(serve_who, issuer, knock, key, pem, mint) -> None:
    """Within the leeway a time is good, beyond it is not."""
    server = await serve_who(jwt={"issuers": [issuer({"public_key": pem(key())})], "leeway_seconds": 60})
    now = int(time.time())
    for claims in ({"exp": now - 30}, {"nbf": now + 30}, {"iat": now + 30}):
        assert (await knock(server, mint(key(), **claims))).startswith(ACCEPTED), claims
    for claims in ({"exp": now - 90}, {"nbf": now + 90}, {"iat": now + 90}):
        assert await knock(server, mint(key(), **claims)) == REFUSED, claims


async def test_what_is_no_jwt_is_left_to_the_next_way(serve_who, issuer, knock, key, pem, mint) -> None:
    """A route may take JWTs and static tokens; a JWT that is not good is not tried as another."""
    static = {"name": "k", "user": "kim", "token": "static-token-0123456789"}
    server = await serve_who(jwt={"issuers": [issuer({"public_key": pem(key())})]}, token={"keys": [static]})
    for token in ("static-token-0123456789", mint(key())):
        assert (await knock(server, token)).startswith(ACCEPTED)
    for token in ("static-token-012345678", mint(key(name="another")), "a.b.c"):
        assert await knock(server, token) == REFUSED


async def test_groups_are_bounded(serve_who, issuer, knock, key, pem, mint) -> None:
    """As many groups as the settings say are good, and one more is not; no claim is no group."""
    good = issuer({"public_key": pem(key())}, groups_claim="groups")
    server = await serve_who(jwt={"issuers": [good], "max_groups": 2})
    for groups in (None, [], ["a"], ["a", "b"]):
        assert (await knock(server, mint(key(), groups=groups))).startswith(ACCEPTED), groups
    assert server.node.metrics.limits == {}
    assert await knock(server, mint(key(), groups=["a", "b", "c"])) == REFUSED
    assert server.node.metrics.limits == {"max_groups": 1}


async def test_a_token_is_bounded(serve_who, issuer, knock, key, pem, mint) -> None:
    """A token at the limit is good, and one byte more is not."""
    token = mint(key())
    good = issuer({"public_key": pem(key())})
    exact = await serve_who(jwt={"issuers": [good], "max_token_bytes": len(token)})
    assert (await knock(exact, token)).startswith(ACCEPTED)
    less = await serve_who(jwt={"issuers": [good], "max_token_bytes": len(token) - 1})
    assert await knock(less, token) == REFUSED
    assert (exact.node.metrics.limits, less.node.metrics.limits) == ({}, {"max_token_bytes": 1})
