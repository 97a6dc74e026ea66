"""What a node says of itself to operators."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from gateway import __version__

if TYPE_CHECKING:
    from gateway.core.node import Node

__all__ = ["About"]


class About:
    """A node's word about itself.

    Args:
        node: The node.
        broker: The type of its broker.
        worker: The number of its slot; `None` where it is the only one.
    """

    def __init__(self, node: Node, broker: str, worker: int | None) -> None:
        self._node = node
        self._broker = broker
        self._lasting = {
            "node": node.name,
            "worker": worker,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "started_at": node.started_at,
        }

    def read(self) -> dict[str, Any]:
        """Give it as it is now; plain data."""
        node = self._node
        status = node.broker.status
        return {
            **self._lasting,
            "draining": node.draining,
            "connections": len(node.hub),
            "groups": node.hub.group_count,
            "broker": {
                "type": self._broker,
                "connected": status.connected,
                "down": node.broker_is_down,
                "seconds": round(node.loop.time() - status.since, 3) if status.connected else None,
                "round_trip_seconds": status.round_trip_seconds,
                "reconnects": status.reconnects,
            },
        }
