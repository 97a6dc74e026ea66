"""Groups: named sets of connections on one node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.models import Overflow
    from gateway.core.connection import Connection

__all__ = ["EVERYONE", "Group", "user_group"]

EVERYONE = "$everyone"
"""The group of all connections. Names that begin with `$` are the gateway's own."""


def user_group(user: str) -> str:
    """Give the name of the group of all connections of a user."""
    return f"$user:{user}"


class Group:
    """The members that a group has on this node.

    Args:
        name: The group's name.
        overflow: What happens to a member whose send queue is full; `None` for its route's policy.
    """

    __slots__ = ("_members", "_snapshot", "compressing", "name", "overflow")

    def __init__(self, name: str, overflow: Overflow | None) -> None:
        self.name = name
        self.overflow = overflow
        self.compressing = 0
        """How many members take compressed messages."""
        self._members: dict[Connection, None] = {}
        self._snapshot: tuple[Connection, ...] | None = ()

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._members

    def add(self, connection: Connection) -> None:
        """Make a connection a member."""
        self._members[connection] = None
        self._snapshot = None
        if connection.compression is not None:
            self.compressing += 1

    def discard(self, connection: Connection) -> None:
        """Make a connection a member no more."""
        if connection not in self._members:
            return
        del self._members[connection]
        self._snapshot = None
        if connection.compression is not None:
            self.compressing -= 1

    @property
    def members(self) -> tuple[Connection, ...]:
        """The members, in the order of their joining; made anew only after a change."""
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._snapshot = tuple(self._members)
        return snapshot
