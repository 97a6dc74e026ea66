from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config.certificates import (
    CertificateFault,
    covers,
    load_pair,
    owners_of_names,
    read_authorities,
    read_certificate,
    show_time,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def made(subject: str, begins: int, ends: int, *names: x509.GeneralName) -> bytes:
    """Make a certificate that holds between two days from `NOW`, in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=NOW + timedelta(days=begins),
        not_valid_after=NOW + timedelta(days=ends),
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def test_names_and_times(tmp_path: Path) -> None:
    """Names are those of the first certificate, in lower case; addresses are none, as TLS asks for none."""
    names = [x509.DNSName("Example.com"), x509.DNSName("*.example.com"), x509.RFC822Name("a@example.com")]
    file = tmp_path / "chain.pem"
    file.write_bytes(b"a remark\n" + made("leaf", -1, 30, *names) + made("other", -2, 60, x509.DNSName("x")))
    certificate = read_certificate(file)
    assert certificate.names == ("example.com", "*.example.com")
    assert certificate.begins_at == (NOW - timedelta(days=1)).timestamp()
    assert certificate.ends_at == (NOW + timedelta(days=30)).timestamp()
    assert certificate.ending == "certificate"


def test_intermediate_certificate_that_ends_first(tmp_path: Path) -> None:
    """The first end of the chain counts, and it is told whose it is."""
    file = tmp_path / "chain.pem"
    file.write_bytes(made("leaf", -1, 30) + made("between", -2, 20) + made("top", 1, 40))
    certificate = read_certificate(file)
    assert certificate.ends_at == (NOW + timedelta(days=20)).timestamp()
    assert certificate.begins_at == (NOW + timedelta(days=1)).timestamp()
    assert certificate.ending == "intermediate certificate 'CN=between'"
    assert certificate.names == ()


def test_ends_soon(tmp_path: Path) -> None:
    """An end is near within 14 days of it, and after it."""
    file = tmp_path / "leaf.pem"
    file.write_bytes(made("leaf", -1, 14))
    certificate = read_certificate(file)
    assert not certificate.ends_soon(NOW.timestamp())
    assert certificate.ends_soon(NOW.timestamp() + 1)
    assert certificate.ends_soon(NOW.timestamp() + 86_400 * 15)


def test_combined_file(tmp_path: Path) -> None:
    """Certificate and key may stand in one file, whichever comes first."""
    issued = trustme.CA().issue_cert("localhost")
    parts = [issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()]
    for number, order in enumerate((parts, parts[::-1])):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(b"".join(order))
        assert read_certificate(file).names == ("localhost",)
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), file, file)


def test_authorities(tmp_path: Path) -> None:
    """All certificates of a file are authorities, and remarks between them are none of our business."""
    file = tmp_path / "ca.pem"
    authorities = [trustme.CA(), trustme.CA()]
    file.write_bytes("é\n".encode().join(one.cert_pem.bytes() for one in authorities))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=read_authorities(file))
    assert context.cert_store_stats()["x509_ca"] == 2


@pytest.mark.parametrize(
    "text", ["", "junk", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"]
)
def test_no_certificate(tmp_path: Path, text: str) -> None:
    """A file without one, or with half of one, is told as such, with the key that names it."""
    file = tmp_path / "junk.pem"
    file.write_text(text)
    for read, key in ((read_certificate, "certificate"), (read_authorities, "client_ca")):
        with pytest.raises(
            CertificateFault, match=f"^{key}: file holds no certificate in pem form$"
        ) as caught:
            read(file)
        assert caught.value.key == key


def test_owners_of_names() -> None:
    """Given names go before those of certificates, and earlier certificates before later ones."""
    owners = owners_of_names(
        [None, ["given"], None, ["given", "other"]],
        [["own", "given"], ["unused"], ["own", "second"], ["unused"]],
    )
    assert owners == {"given": 1, "other": 3, "own": 0, "second": 2}


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("example.com", True),
        ("a.example.com", False),
        ("a.wild.test", True),
        ("a.b.wild.test", False),
        ("wild.test", False),
        ("*.wild.test", True),
        ("test", False),
    ],
)
def test_covers(name: str, covered: bool) -> None:
    """A wildcard stands for exactly one label."""
    assert covers(["example.com", "*.wild.test"], name) is covered


def test_show_time() -> None:
    """Times are in UTC, in the form of the log's own."""
    assert show_time(NOW.timestamp()) == "2030-01-01T00:00:00Z"
