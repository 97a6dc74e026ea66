"""What tests ask of nodes of a cluster: which group goes where."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from valkey.crc import key_slot

if TYPE_CHECKING:
    from nodes import Side
    from valkey_cluster import ValkeyCluster


def slot_of(node: Side, group: str) -> int:
    """Give the slot of a group."""
    return key_slot(key_of(node, group).encode())


def key_of(node: Side, group: str) -> str:
    """Give the key of what a server knows of a group."""
    prefix = node.broker._config.prefix
    return f"{prefix}.history.{{{node.broker._channels.of_group(group).rpartition('.')[2]}}}"


def groups_of(cluster: ValkeyCluster, node: Side) -> list[str]:
    """Give the name of a group for each primary that is kept there, in the order of the servers."""
    found: dict[int, str] = {}
    primaries = [server for server in cluster.servers if server.ask("ROLE")[0] == b"master"]
    for number in count():
        if len(found) == len(primaries):
            return [found[server.port] for server in primaries]
        found.setdefault(cluster.of(key_of(node, f"news-{number}")).port, f"news-{number}")
    raise AssertionError
