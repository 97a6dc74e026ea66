"""The keys by which tokens are verified: which algorithms each fits, and how a configured one is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.models import JwtKeyConfig

__all__ = ["BadKeyError", "Key", "Material", "fitting", "read_key"]

Material = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

# RFC 7518 section 3.2: a secret has at least as many bytes as the hash.
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
# RFC 7518 section 3.4.
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
# RFC 7518 section 3.3 has the least; above the most, one signature takes milliseconds.
_RSA_BITS: Final = range(2048, 8192 + 1)
_MOST_FILE_BYTES: Final = 1_048_576


class BadKeyError(GatewayError):
    """A configured key that cannot be used.

    Args:
        fact: What is wrong with it.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an issuer.

    Args:
        id: The `kid` of the tokens that it is for; `None` for any.
        material: A secret, or a public key.
        algorithms: The algorithms that it fits, of those that the issuer uses.
    """

    id: str | None
    material: Material = field(repr=False)
    algorithms: frozenset[str]


def fitting(material: Material, algorithms: Iterable[str]) -> frozenset[str]:
    """Give those of the algorithms that a key may be used with."""
    return frozenset(name for name in algorithms if _fits(material, name))


def _fits(material: Material, algorithm: str) -> bool:
    if isinstance(material, bytes):
        return algorithm in _SECRET_BYTES and len(material) >= _SECRET_BYTES[algorithm]
    if isinstance(material, RSAPublicKey):
        return algorithm[:2] in {"RS", "PS"} and material.key_size in _RSA_BITS
    if isinstance(material, EllipticCurvePublicKey):
        return _CURVES.get(algorithm) == material.curve.name
    return algorithm == "EdDSA"


def read_key(config: JwtKeyConfig, algorithms: Iterable[str]) -> Key:
    """Make a key of what the configuration says; a file is read at once.

    Raises:
        BadKeyError: If there is no such key, or it fits none of the algorithms.
    """
    names = tuple(algorithms)
    shared = any(name in _SECRET_BYTES for name in names)
    given = _given(config)
    material = _secret(given) if shared else _public_key(given)
    fits = fitting(material, names)
    if not fits:
        raise BadKeyError(_misfit(material, names))
    return Key(config.id, material, fits)


def _given(config: JwtKeyConfig) -> bytes:
    if config.secret is not None:
        return config.secret.get_secret_value().encode()
    if config.public_key is not None:
        return config.public_key.encode()
    assert config.file is not None  # noqa: S101 - the model has exactly one of the three
    try:
        with config.file.open("rb") as file:
            given = file.read(_MOST_FILE_BYTES)
    except FileNotFoundError:
        raise BadKeyError("file not found") from None
    except OSError as exc:
        raise BadKeyError(f"file cannot be read: {(exc.strerror or type(exc).__name__).lower()}") from None
    except ValueError:
        raise BadKeyError("file name is not valid") from None
    return given.rstrip(b"\r\n")


def _secret(given: bytes) -> bytes:
    if not given:
        raise BadKeyError("secret is empty")
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(given)
    except InvalidKeyError:
        # What is public, or looks like it, would let everyone sign (CVE-2022-29217, CVE-2026-48526).
        raise BadKeyError("secret is a key of another kind, a certificate or a jwk") from None


def _public_key(given: bytes) -> Material:
    if b"PRIVATE KEY" in given:
        raise BadKeyError("key is a private one, and only the public one belongs here")
    try:
        if b"BEGIN CERTIFICATE" in given:
            key: object = x509.load_pem_x509_certificate(given).public_key()
        else:
            key = load_pem_public_key(given)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeyError("no public key or certificate in pem form") from None
    if isinstance(key, Material):
        return key
    raise BadKeyError("key is of a kind that signs no jwt")


def _misfit(material: Material, algorithms: tuple[str, ...]) -> str:
    if isinstance(material, bytes):
        least = min(_SECRET_BYTES[name] for name in algorithms if name in _SECRET_BYTES)
        return f"secret too short: {len(material)} bytes, at least {least} bytes"
    if isinstance(material, RSAPublicKey) and material.key_size not in _RSA_BITS:
        return f"rsa key has {material.key_size} bits, limits {_RSA_BITS[0]} and {_RSA_BITS[-1]}"
    return f"key fits none of the algorithms: {', '.join(algorithms)}"
