"""Tests of what `gateway check` says of keys: unreadable, of the wrong kind, too weak."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway import GatewayError
from gateway.app.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SECRET = "hush-" * 8


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., list[str]]:
    """Give a function that judges the settings of issuers, and lists what is wrong, without the positions."""

    def judge(*issuers: dict[str, Any], way: str = "jwt", **more: Any) -> list[str]:
        settings: dict[str, Any] = {"issuers": issuers, **more}
        if way == "cookie":
            settings = {"name": "session", "jwt": settings}
        file = tmp_path / "gateway.yaml"
        file.write_text(json.dumps({"authentication": {way: settings}}))
        try:
            prepare(file, {})
        except GatewayError as exc:
            return [line.partition(": ")[2] for line in str(exc).splitlines()]
        return []

    return judge


def test_good_keys(judge, issuer, key, pem) -> None:
    """Keys that fit are no problem."""
    assert judge(issuer({"public_key": pem(key())}, {"id": "b", "public_key": pem(key(name="b"))})) == []
    assert judge(issuer({"secret": SECRET}, algorithms=["HS256"])) == []


@pytest.mark.parametrize("way", ["jwt", "cookie"])
def test_files_that_cannot_be_read(judge, issuer, tmp_path: Path, way: str) -> None:
    """A file that is not there, a folder, and one without a key are found, in both ways."""
    (tmp_path / "junk.pem").write_text("junk")
    (tmp_path / "empty").touch()
    keys = [{"file": name} for name in ("missing.pem", str(tmp_path), "junk.pem")]
    place = "authentication.jwt" if way == "jwt" else "authentication.cookie.jwt"
    assert judge(issuer(*keys), way=way) == [
        f"{place}.issuers[0].keys[0].file: file not found",
        f"{place}.issuers[0].keys[1].file: file cannot be read: is a directory",
        f"{place}.issuers[0].keys[2].file: no public key or certificate in pem form",
    ]
    assert judge(issuer({"file": "empty"}, algorithms=["HS256"]), way=way) == [
        f"{place}.issuers[0].keys[0].file: secret is empty"
    ]


def test_a_relative_file_is_from_the_folder_of_the_configuration(
    judge, issuer, key, pem, tmp_path: Path
) -> None:
    """A path begins at the file that names it."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "good.pem").write_text(pem(key()))
    assert judge(issuer({"file": "keys/good.pem"})) == []


def private_pem(private: RSAPrivateKey) -> str:
    """Write a private key in PEM form."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - only here
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_keys_that_do_not_fit(judge, issuer, key, pem, jwk, subtests: pytest.Subtests) -> None:
    """Each kind of key fits its own algorithms only, and has to be strong enough."""
    place = "authentication.jwt.issuers[0]"
    unfit = "key fits none of the algorithms: "
    for algorithms, given, problem in (
        (["ES256"], {"public_key": pem(key())}, "public_key: " + unfit + "ES256"),
        (["RS256"], {"public_key": pem(key("P-256"))}, "public_key: " + unfit + "RS256"),
        (["ES256"], {"public_key": pem(key("P-384"))}, "public_key: " + unfit + "ES256"),
        (["ES256"], {"public_key": pem(key("K-256"))}, "public_key: " + unfit + "ES256"),
        (
            ["RS256"],
            {"public_key": pem(key("Ed25519"))},
            "public_key: key fits none of the algorithms: RS256",
        ),
        (
            ["RS256"],
            {"public_key": pem(key("RSA-1024"))},
            "public_key: rsa key has 1024 bits, limits 2048 and 8192",
        ),
        (
            ["RS256"],
            {"public_key": private_pem(key())},
            "public_key: key is a private one, and only the public one belongs here",
        ),
        (["HS256"], {"secret": "hush" * 7 + "abc"}, "secret: secret too short: 31 bytes, at least 32 bytes"),
        (["HS512"], {"secret": "hush" * 15 + "abc"}, "secret: secret too short: 63 bytes, at least 64 bytes"),
        (["HS256"], {"secret": ""}, "secret: secret is empty"),
        (
            ["HS256"],
            {"secret": pem(key())},
            "secret: secret is a key of another kind, a certificate or a jwk",
        ),
        (
            ["HS256"],
            {"secret": json.dumps(jwk(key()))},
            "secret: secret is a key of another kind, a certificate or a jwk",
        ),
        (["RS256"], {"secret": SECRET}, "secret: secret fits none of the algorithms"),
        (["HS256"], {"public_key": pem(key())}, "public_key: public_key fits none of the algorithms"),
    ):
        with subtests.test(algorithms=algorithms, problem=problem):
            found = judge(issuer(given, algorithms=algorithms))
            assert found == [f"{place}.keys[0].{problem}"]
            assert "hush" not in str(found)


def test_settings_that_contradict_themselves(judge, issuer, key, pem, subtests: pytest.Subtests) -> None:
    """What leaves out a requirement, or mixes what must not be mixed, is refused at its place."""
    good = issuer({"public_key": pem(key())})
    https = {"url": "https://issuer.test/keys"}
    one = "exactly one of secret, public_key and file is needed"
    for settings, problem in (
        ([], "issuers: too few entries: 0, at least 1"),
        ([good, good], "issuers[1].issuer: issuer taken: 'https://issuer.test', first used by entry 0"),
        ([good | {"algorithms": []}], "issuers[0].algorithms: too few entries: 0, at least 1"),
        ([good | {"audience": []}], "issuers[0].audience: too few entries: 0, at least 1"),
        ([good | {"keys": []}], "issuers[0]: neither keys nor jwks are given"),
        ([good | {"keys": [{}]}], f"issuers[0].keys[0]: {one}"),
        ([good | {"keys": [{"secret": SECRET, "file": "x"}]}], f"issuers[0].keys[0]: {one}"),
        (
            [good | {"algorithms": ["RS256", "HS256"]}],
            "issuers[0].algorithms: algorithms with a shared secret and with a public key",
        ),
        (
            [issuer({"secret": SECRET}, algorithms=["HS256"], jwks=https)],
            "issuers[0].jwks: shared secrets are never published, and the algorithms need one",
        ),
        ([good | {"algorithms": ["RS256", "ES256"]}], "issuers[0].algorithms[1]: no key fits this algorithm"),
        (
            [good | {"jwks": https | {"server_ca": "missing.pem"}}],
            "issuers[0].jwks.server_ca: file not found",
        ),
    ):
        with subtests.test(problem=problem):
            assert judge(*settings) == [f"authentication.jwt.{problem}"]
    for name in ("issuer", "audience", "algorithms"):
        with subtests.test(missing=name):
            less = {key: value for key, value in good.items() if key != name}
            assert judge(less) == [f"authentication.jwt.issuers[0].{name}: missing"]
    for name in ("none", "HS1", "ES256K", "rs256", ""):
        with subtests.test(algorithm=name):
            (found,) = judge(good | {"algorithms": [name]})
            assert found.startswith("authentication.jwt.issuers[0].algorithms[0]: not 'HS256'")


def test_a_way_without_settings(tmp_path: Path) -> None:
    """A route that names the way needs its settings."""
    file = tmp_path / "gateway.yaml"
    file.write_text("routes: [{path: /, authenticate: [jwt]}]")
    with pytest.raises(GatewayError, match=r"authentication\.jwt\.issuers: missing"):
        prepare(file, {})
