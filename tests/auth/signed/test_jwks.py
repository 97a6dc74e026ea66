"""Tests of reading key sets: what in them can verify a signature, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from gateway.auth.jwks import BadKeySetError, read_key_set

ALGORITHMS = ("RS256", "RS512", "ES256", "EdDSA")


def read(*entries: Any, algorithms: tuple[str, ...] = ALGORITHMS) -> tuple[list[tuple[Any, list[str]]], int]:
    """Read a key set; give each key's id and algorithms, and how many were left out."""
    keys, left_out = read_key_set(json.dumps({"keys": entries}).encode(), algorithms)
    return [(key.id, sorted(key.algorithms)) for key in keys], left_out


def test_keys(key, jwk) -> None:
    """Each key has the algorithms of the issuer that it fits, and only its own where it names one."""
    assert read(
        jwk(key(), kid="any"),
        jwk(key(), kid="one", alg="RS512", use="sig", key_ops=["verify"]),
        jwk(key("P-256"), kid="curve"),
        jwk(key("Ed25519"), kid="edwards", unknown={"x": 1}),
        jwk(key("Ed448")),
        jwk(key(), kid="any"),
    ) == (
        [
            ("any", ["RS256", "RS512"]),
            ("one", ["RS512"]),
            ("curve", ["ES256"]),
            ("edwards", ["EdDSA"]),
            (None, ["EdDSA"]),
            ("any", ["RS256", "RS512"]),
        ],
        0,
    )
    assert read(jwk(key()), algorithms=("ES256",)) == ([], 1)


def test_what_is_left_out(key, jwk, subtests: pytest.Subtests) -> None:
    """A key that is not for this, or that nobody may have, does not spoil the others."""
    good = jwk(key(), kid="good")
    private = json.loads(RSAAlgorithm.to_jwk(key()))
    for entry in (
        {},
        None,
        "key",
        [],
        7,
        good | {"use": "enc"},
        good | {"key_ops": ["encrypt"]},
        good | {"key_ops": "verify"},
        good | {"alg": "RS384"},
        good | {"alg": "HS256"},
        good | {"alg": "none"},
        good | {"alg": 7},
        good | {"kid": 7},
        good | {"kid": ["good"]},
        good | {"kty": "oct"},
        good | {"kty": ["RSA"]},
        good | {"kty": "EC"},
        good | {"n": "AQAB"},
        good | {"n": ""},
        good | {"n": "!!"},
        good | {"n": 7},
        good | {"e": "AQ"},
        good | {"e": "Ag"},
        {name: value for name, value in good.items() if name != "e"},
        private,
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMw", "kid": "good"},
        jwk(key("RSA-1024"), kid="good"),
        jwk(key("P-384"), kid="good"),
        jwk(key("P-256"), kid="good") | {"y": jwk(key("P-256"))["x"]},
        jwk(key("P-256"), kid="good") | {"crv": "P-1"},
        jwk(key("Ed25519"), kid="good") | {"x": "AAAA"},
        jwk(key("Ed25519"), kid="good") | {"crv": "X25519"},
    ):
        with subtests.test(entry=str(entry)[:60]):
            assert read(entry, jwk(key("P-256"), kid="other")) == ([("other", ["ES256"])], 1)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"[" * 100_000,
        b'{"keys": [' + b",".join([b"{}"] * 101) + b"]}",
    ],
    ids=lambda document: document[:12].decode("latin-1"),
)
def test_what_is_no_key_set(document: bytes) -> None:
    """Anything else than an object with a list of at most 100 keys is refused."""
    with pytest.raises(BadKeySetError):
        read_key_set(document, ALGORITHMS)


def test_an_empty_key_set() -> None:
    """An issuer may say that it has no keys."""
    assert read() == ([], 0)
