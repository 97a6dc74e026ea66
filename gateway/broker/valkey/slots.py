"""Which server of a Valkey Cluster has which of the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valkey.crc import VALKEY_CLUSTER_HASH_SLOTS, key_slot

from gateway.broker.link import LinkError
from gateway.broker.valkey.connection import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SlotMap"]


class SlotMap:
    """The primary of each slot; a key's slot is that of what stands between its first braces.

    Args:
        told: What a server answers to CLUSTER SLOTS.
        teller: Where that server is.

    Raises:
        LinkError: If a slot has no primary.
    """

    def __init__(self, told: Sequence[Any], teller: Address) -> None:
        self.addresses: dict[bytes, Address] = {}
        """Where each primary is, by the name that the cluster gave it."""
        self._names: list[bytes] = [b""] * VALKEY_CLUSTER_HASH_SLOTS
        for first, last, primary, *_ in told:
            host, port, name = primary[:3]
            # A server that does not know by what name it is found gives none: it is the one that was asked.
            self.addresses[name] = Address(host.decode() if host else teller.host, port)
            self._names[first : last + 1] = [name] * (last + 1 - first)
        missing = self._names.count(b"")
        if missing:
            raise LinkError(f"no server of the cluster has {missing} of its {len(self._names)} slots")

    def primary(self, key: str) -> bytes:
        """Give the name of the primary that has a key."""
        return self._names[key_slot(key.encode())]

    def losing(self, later: SlotMap) -> set[bytes]:
        """Give the names of the primaries that have fewer slots, or others, in a later map."""
        return {before for before, after in zip(self._names, later._names, strict=True) if before != after}
