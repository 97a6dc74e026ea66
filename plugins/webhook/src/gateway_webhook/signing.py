"""Signatures of requests, as https://www.standardwebhooks.com describes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Signer", "key_of"]

PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 24
MAX_KEY_BYTES: Final = 64


def key_of(secret: str) -> bytes:
    """Give the key that a secret stands for.

    Args:
        secret: 24 to 64 bytes in base64, with or without `whsec_` before it.

    Raises:
        PydanticCustomError: If it is not; the text does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("not_base64", "not base64, after an optional whsec_") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        limits = {"size": len(key), "least": MIN_KEY_BYTES, "most": MAX_KEY_BYTES}
        raise PydanticCustomError("key_size", "a key of {size} bytes, expected {least} to {most}", limits)
    return key


class Signer:
    """The maker of the three fields by which a service knows a request.

    Args:
        keys: Each signs every request, so that a service may know any of them.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def sign(self, event_id: str, timestamp: int, body: bytes) -> list[tuple[bytes, bytes]]:
        """Give the fields for a request.

        Args:
            event_id: The same for each try of an event.
            timestamp: Of this try, in seconds since the epoch.
            body: What is sent, byte for byte.
        """
        signed = f"{event_id}.{timestamp}.".encode() + body
        signatures = (
            b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys
        )
        return [
            (b"webhook-id", event_id.encode()),
            (b"webhook-timestamp", str(timestamp).encode()),
            (b"webhook-signature", b" ".join(signatures)),
        ]
