"""Keys, certificates and files for servers that want to know who connects."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import nkeys
import pytest
import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Key:
    """An NKey.

    Args:
        prefix: What kind of key it is.
    """

    def __init__(self, prefix: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: str, kind: str, **facts: Any) -> str:
        """Make a JWT of NATS, signed by this key, as `nsc` does."""
        claims = {"iat": int(time.time()), "iss": self.public, "sub": subject, "name": kind}
        claims["nats"] = {"type": kind, "version": 2, **facts}
        claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode()
        parts = [_part({"typ": "JWT", "alg": "ed25519-nkey"}), _part(claims)]
        signature = self._pair.sign(".".join(parts).encode())
        return ".".join([*parts, _base64(signature)])


def _part(value: object) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def user_key() -> Key:
    """The NKey of a user."""
    return Key(nkeys.PREFIX_BYTE_USER)


@pytest.fixture
def operator() -> tuple[str, str]:
    """What stands in the configuration of a server with an operator, and a user's credentials file for it."""
    operator, account, user = (
        Key(prefix)
        for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    account_jwt = operator.sign(account.public, "account", limits={**limits, "wildcards": True})
    user_jwt = account.sign(user.public, "user", subs=-1, data=-1, payload=-1)
    config = (
        f"operator: {operator.sign(operator.public, 'operator')}\n"
        "resolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {account_jwt} }}\n"
    )
    credentials = (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return config, credentials


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with an authority's certificate, and certificates from it for the server and for a client."""
    folder = tmp_path / "tls"
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, issued in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("client", authority.issue_cert("client@example.com")),
        ("other", trustme.CA().issue_cert("client@example.com")),
        ("elsewhere", authority.issue_cert("elsewhere.example.com")),
    ):
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        for number, chain in enumerate(issued.cert_chain_pems):
            chain.write_to_path(folder / f"{name}.pem", append=number > 0)
    return folder
