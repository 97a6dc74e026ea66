from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.config import check_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Loaded

TEXT = "listen:\n  tls:\n    certificate: cert.pem\n    key: key.pem\n"


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """A certificate and its key, in PEM form."""
    issued = trustme.CA().issue_cert("localhost")
    return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()


def test_no_tls(load: Callable[..., Loaded]) -> None:
    """Without TLS there is nothing to check."""
    assert check_certificates(load("")) == ()


def test_good_pair(load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    """A certificate and its key, named from the file's folder, pass."""
    (tmp_path / "cert.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").write_bytes(pair[1])
    assert check_certificates(load(TEXT)) == ()


def test_both_missing(load: Callable[..., Loaded]) -> None:
    """Each missing file is told at its own line."""
    assert [str(problem) for problem in check_certificates(load(TEXT))] == [
        "gateway.yaml:3:18: listen.tls.certificate: file not found",
        "gateway.yaml:4:10: listen.tls.key: file not found",
    ]


def test_folder_in_place_of_file(
    load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """A file that cannot be read is told with the system's reason."""
    (tmp_path / "cert.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").mkdir()
    assert [str(problem) for problem in check_certificates(load(TEXT))] == [
        "gateway.yaml:4:10: listen.tls.key: file cannot be read: is a directory",
    ]


def test_no_certificate_in_file(
    load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """A certificate file without a certificate is told at the certificate's line."""
    (tmp_path / "cert.pem").write_text("junk")
    (tmp_path / "key.pem").write_bytes(pair[1])
    assert [str(problem) for problem in check_certificates(load(TEXT))] == [
        "gateway.yaml:3:18: listen.tls.certificate: file holds no certificate in pem form",
    ]


def test_key_of_another_certificate(
    load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """A key that does not match is told at the key's line."""
    (tmp_path / "cert.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    assert [str(problem) for problem in check_certificates(load(TEXT))] == [
        "gateway.yaml:4:10: listen.tls.key: key does not belong to the certificate",
    ]


def test_junk_key(load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    """A key file without a key is told at the key's line."""
    (tmp_path / "cert.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").write_text("junk")
    (problem,) = check_certificates(load(TEXT))
    assert str(problem).startswith("gateway.yaml:4:10: listen.tls.key: certificate and key do not load")


def test_encrypted_key(load: Callable[..., Loaded], pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    """An encrypted key is refused instead of asking for its password on the terminal."""
    key = serialization.load_pem_private_key(pair[1], None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "cert.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").write_bytes(encrypted)
    assert [str(problem) for problem in check_certificates(load(TEXT))] == [
        "gateway.yaml:4:10: listen.tls.key: key is encrypted, and the gateway has no password for it",
    ]
