"""Certificates in files: what they say, until when they hold, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config.models.base import DAY
from gateway.errors import GatewayError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "SOON_SECONDS",
    "Certificate",
    "CertificateFault",
    "covers",
    "load_pair",
    "owners_of_names",
    "read_authorities",
    "read_certificate",
    "read_each",
    "read_file",
    "show_time",
]

SOON_SECONDS: Final = 14 * DAY
"""How long before its end a certificate is warned about."""


class CertificateFault(GatewayError):
    """A file of a certificate that cannot be used.

    Args:
        key: Which file: `certificate`, `key` or `client_ca`.
        fact: What is wrong with it, in lower case.
    """

    def __init__(self, key: str, fact: str) -> None:
        super().__init__(f"{key}: {fact}")
        self.key = key
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the file of a certificate says.

    Args:
        names: The server names that it is for, in lower case; a wildcard as `*.example.com`.
        begins_at: When the last of its chain begins to hold, in seconds since the epoch.
        ends_at: When the first of its chain ends, in seconds since the epoch.
        ending: Which one that is: `certificate`, or `intermediate certificate` and its subject.
    """

    names: tuple[str, ...]
    begins_at: float
    ends_at: float
    ending: str

    def ends_soon(self, now: float) -> bool:
        """Tell whether it ends within 14 days, or has ended."""
        return self.ends_at - now < SOON_SECONDS


def read_certificate(file: Path) -> Certificate:
    """Read a certificate and its intermediate certificates.

    Raises:
        CertificateFault: If the file cannot be read, or holds none.
    """
    chain = _read_chain("certificate", file)
    begins_at = max(one.not_valid_before_utc.timestamp() for one in chain)
    first = min(range(len(chain)), key=lambda index: chain[index].not_valid_after_utc)
    ending = "certificate"
    if first > 0:
        ending = f"intermediate certificate {chain[first].subject.rfc4514_string()!r}"
    return Certificate(_names_of(chain[0]), begins_at, chain[first].not_valid_after_utc.timestamp(), ending)


def read_authorities(file: Path) -> bytes:
    """Read the certificates of authorities; give them in DER form, as `load_verify_locations` takes them.

    Raises:
        CertificateFault: If the file cannot be read, or holds none.
    """
    return b"".join(one.public_bytes(Encoding.DER) for one in _read_chain("client_ca", file))


def read_each(file: Path) -> list[Certificate]:
    """Read certificates that stand side by side, as those of authorities; their subject is in `ending`.

    Raises:
        CertificateFault: If the file cannot be read, or holds none.
    """
    return [
        Certificate(
            (),
            one.not_valid_before_utc.timestamp(),
            one.not_valid_after_utc.timestamp(),
            f"certificate of {one.subject.rfc4514_string()!r}",
        )
        for one in _read_chain("certificate", file)
    ]


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load a certificate, with its intermediate ones, and its key into a context.

    Raises:
        CertificateFault: If they do not load, or do not belong together.
    """
    asked: list[bool] = []

    def refuse_password() -> str:
        # Without this callback OpenSSL would ask on the terminal and the gateway would hang.
        asked.append(True)
        return ""

    read_file("key", key)
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except (OSError, ValueError) as error:
        if asked:
            raise CertificateFault(
                "key", "key is encrypted, and the gateway has no password for it"
            ) from None
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no reason given"
        if reason == "KEY_VALUES_MISMATCH":
            raise CertificateFault("key", "key does not belong to the certificate") from None
        raise CertificateFault("key", f"certificate and key do not load: {reason.lower()}") from None


def owners_of_names(given: Sequence[Sequence[str] | None], own: Sequence[Sequence[str]]) -> Mapping[str, int]:
    """Decide which certificate is shown for which server name.

    Names that the configuration gives go before names that certificates are for, and otherwise the first
    certificate before the later ones.

    Args:
        given: The names that the configuration gives each certificate; None leaves it to the certificate.
        own: The names that each certificate is for.

    Returns:
        The certificate's index by name.
    """
    owners: dict[str, int] = {}
    for index, names in enumerate(given):
        for name in names or ():
            owners.setdefault(name, index)
    for index, names in enumerate(own):
        for name in names if given[index] is None else ():
            owners.setdefault(name, index)
    return owners


def covers(names: Sequence[str], name: str) -> bool:
    """Tell whether a certificate for some names holds for one; a wildcard stands for one label (RFC 9525)."""
    return name in names or f"*.{name.partition('.')[2]}" in names


def show_time(seconds: float) -> str:
    """Give a point in time as logs and messages show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return ()
    return tuple(dict.fromkeys(name.lower() for name in names.get_values_for_type(x509.DNSName)))


def _read_chain(key: str, file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_file(key, file))
    except ValueError:
        raise CertificateFault(key, "file holds no certificate in pem form") from None


def read_file(key: str, file: Path) -> bytes:
    """Read a file of a certificate.

    Args:
        key: Which file it is, for the error.
        file: The file.

    Raises:
        CertificateFault: If it cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise CertificateFault(key, "file not found") from None
    except OSError as error:
        fact = f"file cannot be read: {(error.strerror or type(error).__name__).lower()}"
        raise CertificateFault(key, fact) from None
    except ValueError:
        raise CertificateFault(key, "file name is not valid") from None
