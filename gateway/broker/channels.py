"""The names that the gateway uses at a broker: what NATS calls subjects, and Valkey channels."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Final

__all__ = ["Channels"]

_LONGEST: Final = 250
"""Bytes of a group's name above which its hash stands for it: NATS takes lines of 4,096 bytes, and less is
faster."""


class Channels:
    """The names of channels. They hold letters, digits, `-` and `_`, with dots between their parts.

    Args:
        prefix: How all begin: nodes with one prefix are one gateway.
        node: The node's name.
    """

    def __init__(self, prefix: str, node: str) -> None:
        # The letter also keeps a group whose name is empty from having an empty part.
        self._named = f"{prefix}.group.n"
        self._hashed = f"{prefix}.group.h"
        self.notices = f"{prefix}.notices"
        """What goes to all nodes."""
        self.probe = f"{prefix}.probe.{_encode(node.encode())}"
        """What the node sends to itself."""

    def of_group(self, group: str) -> str:
        """Give the channel of a group; different groups have different ones, whatever their names hold."""
        name = group.encode(errors="surrogatepass")
        if len(name) > _LONGEST:
            return self._hashed + _encode(hashlib.sha256(name).digest())
        return self._named + _encode(name)


def _encode(name: bytes) -> str:
    return urlsafe_b64encode(name).rstrip(b"=").decode()
