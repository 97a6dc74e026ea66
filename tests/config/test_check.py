from __future__ import annotations

from datetime import UTC, datetime, timedelta
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.config import check_certificates, in_order

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


# What follows has certificates for several names, with ends, and authorities.

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = trustme.CA()


@pytest.fixture
def issue(tmp_path: Path) -> Callable[..., None]:
    """A function that writes a certificate and its key into one file, which holds for so many days."""

    def issue(file: str, *names: str, days: float = 100, after: float = -1) -> None:
        issued = AUTHORITY.issue_cert(
            *names, not_before=NOW + timedelta(days=after), not_after=NOW + timedelta(days=days)
        )
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / file)

    return issue


@pytest.fixture
def check(load: Callable[..., Loaded]) -> Callable[[str], list[str]]:
    """A function that checks the keys of `tls`; it gives each problem without the file's name."""

    def check(keys: str) -> list[str]:
        problems = check_certificates(
            load(f"listen:\n  tls:\n{indent(dedent(keys), '    ')}"), NOW.timestamp()
        )
        return [str(problem).removeprefix("gateway.yaml:") for problem in in_order(problems)]

    return check


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (14, None),
        (13.9, "warning: certificate ends on 2030-01-14T21:36:00Z, in 13 days"),
        (1.5, "warning: certificate ends on 2030-01-02T12:00:00Z, in 1 day"),
        (0.1, "warning: certificate ends on 2030-01-01T02:24:00Z, in 0 days"),
        (0, "certificate has ended, on 2030-01-01T00:00:00Z"),
        (-0.5, "certificate has ended, on 2029-12-31T12:00:00Z"),
    ],
)
def test_end(
    issue: Callable[..., None], check: Callable[[str], list[str]], days: float, told: str | None
) -> None:
    """An end within 14 days is a warning, and one that is past an error."""
    issue("a.pem", "a.test", days=days)
    found = check("certificate: a.pem\nkey: a.pem")
    assert found == ([] if told is None else [f"3:18: listen.tls.certificate: {told}"])


def test_certificate_of_tomorrow(issue: Callable[..., None], check: Callable[[str], list[str]]) -> None:
    """A certificate that does not hold yet is a warning."""
    issue("a.pem", "a.test", after=1)
    assert check("certificate: a.pem\nkey: a.pem") == [
        "3:18: listen.tls.certificate: warning: certificate does not hold before 2030-01-02T00:00:00Z"
    ]


def test_each_certificate_is_checked(issue: Callable[..., None], check: Callable[[str], list[str]]) -> None:
    """What is wrong with one of several certificates is told at its own place, all at once."""
    issue("a.pem", "a.test")
    issue("b.pem", "b.test")
    issue("old.pem", "old.test", days=-0.5)
    text = """
        certificate: a.pem
        key: a.pem
        more_certificates:
          - {certificate: b.pem, key: a.pem}
          - {certificate: none.pem, key: none.pem}
          - {certificate: old.pem, key: old.pem}
        client_certificates: optional
        client_ca: none.pem
        """
    assert check(text) == [
        "7:35: listen.tls.more_certificates[0].key: key does not belong to the certificate",
        "8:23: listen.tls.more_certificates[1].certificate: file not found",
        "8:38: listen.tls.more_certificates[1].key: file not found",
        "9:23: listen.tls.more_certificates[2].certificate: certificate has ended, on 2029-12-31T12:00:00Z",
        "11:16: listen.tls.client_ca: file not found",
    ]


def test_authorities_without_certificate(
    issue: Callable[..., None], check: Callable[[str], list[str]]
) -> None:
    """A file of authorities without a certificate is told at its line."""
    issue("a.pem", "a.test")
    text = "certificate: a.pem\nkey: a.pem\nclient_certificates: required\nclient_ca: gateway.yaml"
    assert check(text) == ["6:16: listen.tls.client_ca: file holds no certificate in pem form"]


def test_names_that_two_certificates_have(
    issue: Callable[..., None], check: Callable[[str], list[str]]
) -> None:
    """A name in two certificates is a warning at the later one, unless the configuration gives it to one."""
    issue("a.pem", "a.test", "both.test")
    issue("b.pem", "b.test", "both.test")
    text = """
        certificate: a.pem
        key: a.pem
        more_certificates:
          - {certificate: b.pem, key: b.pem}
        """
    assert check(text) == [
        (
            "7:23: listen.tls.more_certificates[0].certificate: warning: "
            "certificate names 'both.test', for which that of listen.tls is shown"
        )
    ]
    assert check(text.replace("key: b.pem}", "key: b.pem, server_names: [both.test]}")) == []


def test_given_names(issue: Callable[..., None], check: Callable[[str], list[str]]) -> None:
    """A given name that the certificate does not hold for is a warning; without any name it is an error."""
    issue("a.pem", "a.test")
    issue("b.pem", "*.b.test")
    issue("c.pem", "10.0.0.1")
    text = """
        certificate: a.pem
        key: a.pem
        more_certificates:
          - {certificate: b.pem, key: b.pem, server_names: [x.b.test, b.test, "*.b.test"]}
          - {certificate: c.pem, key: c.pem}
        """
    assert check(text) == [
        (
            "7:67: listen.tls.more_certificates[0].server_names[1]: "
            "warning: certificate does not hold for the server name: 'b.test'"
        ),
        "8:23: listen.tls.more_certificates[1].certificate: certificate names no host, set server_names",
    ]


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([20], ""),
        ([20, 30], ""),
        ([1.5], "warning: certificate of 'A0' ends on 2030-01-02T12:00:00Z, in 1 day"),
        ([-0.5], "certificate of 'A0' has ended, on 2029-12-31T12:00:00Z"),
        ([-0.5, -0.25], "all 2 certificates have ended, the last on 2029-12-31T18:00:00Z"),
        (
            [20, -0.5, -0.25],
            (
                "warning: 2 of 3 certificates ended already, first the certificate of 'A1' on "
                "2029-12-31T12:00:00Z"
            ),
        ),
        (
            [20, 1],
            (
                "warning: 1 of 2 certificates will soon end, first the certificate of 'A1' on "
                "2030-01-02T00:00:00Z"
            ),
        ),
    ],
)
def test_ends_of_authorities(
    issue: Callable[..., None],
    check: Callable[[str], list[str]],
    tmp_path: Path,
    days: list[float],
    told: str,
) -> None:
    """Clients are let in by an authority that holds: one that goes is a warning, none left an error."""
    issue("a.pem", "a.test")
    issued = [
        AUTHORITY.issue_cert(
            f"{number}.test", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=end)
        )
        for number, end in enumerate(days)
    ]
    pems = [one.cert_chain_pems[0].bytes() for one in issued]
    (tmp_path / "ca.pem").write_bytes(b"".join(pems))
    for number, pem in enumerate(pems):
        subject = x509.load_pem_x509_certificate(pem).subject.rfc4514_string()
        told = told.replace(f"'A{number}'", repr(subject))
    found = check("certificate: a.pem\nkey: a.pem\nclient_certificates: required\nclient_ca: ca.pem")
    assert found == ([f"6:16: listen.tls.client_ca: {told}"] if told else [])
