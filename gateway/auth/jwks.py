"""Reading a JSON Web Key Set (RFC 7517): what in it can verify a signature."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gateway.auth.keys import Key, fitting
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BadKeySetError", "read_key_set"]

_MOST_KEYS: Final = 100
# A secret (`oct`) has no place in what is published.
_KINDS: Final[dict[object, Any]] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


class BadKeySetError(GatewayError):
    """An answer that is no key set."""


def read_key_set(document: bytes, algorithms: Iterable[str]) -> tuple[list[Key], int]:
    """Give the keys of a key set that fit one of the algorithms, and how many were left out.

    A key that cannot be used is left out, as RFC 7517 section 5 asks: others of the set may be for others.

    Raises:
        BadKeySetError: If the document is no key set, or has more than 100 keys.
    """
    try:
        data = json.loads(document)
    except (ValueError, RecursionError):
        raise BadKeySetError("answer is not json") from None
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise BadKeySetError("answer has no list of keys")
    if len(entries) > _MOST_KEYS:
        raise BadKeySetError(f"too many keys: {len(entries)}, limit {_MOST_KEYS}")
    names = tuple(algorithms)
    keys = [key for entry in entries if (key := _read(entry, names)) is not None]
    return keys, len(entries) - len(keys)


def _read(entry: object, algorithms: tuple[str, ...]) -> Key | None:
    if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    kind, id_, operations = entry.get("kty"), entry.get("kid"), entry.get("key_ops", ["verify"])
    algorithm = _KINDS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or not (id_ is None or isinstance(id_, str)):
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        material = algorithm.from_jwk(entry)
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm):
        return None
    named = entry.get("alg")
    fits = fitting(material, algorithms if named is None else [name for name in algorithms if name == named])
    return Key(id_, material, fits) if fits else None
