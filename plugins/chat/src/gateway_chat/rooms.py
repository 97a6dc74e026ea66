"""Who is in which room, over all nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway_chat.errors import NameTakenError, NobodyHereError
from gateway_chat.names import same_name
from gateway_chat.outgoing import Member

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gateway
    from gateway import Connection, Node

__all__ = ["Rooms", "as_member", "member_group", "room_group"]


def room_group(room: str) -> str:
    """Name the group of a room's connections."""
    return f"room:{room}"


def member_group(room: str, member_id: str) -> str:
    """Name the group of one member's connections in a room; whispers go there."""
    return f"whisper:{quote(room, safe='')}:{member_id}"


def as_member(present: gateway.Member) -> Member | None:
    """Give somebody who is in a room's group as the room sees them; `None` for a mere listener."""
    name = present.details.get("name")
    return Member(id=present.id, name=name) if isinstance(name, str) else None


class Rooms:
    """Who is in which room.

    It keeps nothing: the gateway knows who is in a room's group, on whatever nodes, and keeps the name of
    each member among its details. A connection that is in the group by other means has none, and is nobody.

    Args:
        node: The node.

    Raises:
        gateway.NoPresenceError: If gateway.yaml does not say that it is to be known who is in rooms.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        node.presence(room_group("any"))

    def enter(self, connection: Connection, room: str, names: Iterable[str]) -> Member:
        """Bring a connection into a room, under the first of the names that is free.

        A user who is there already, or was a moment ago, has the name of then.
        """
        group = room_group(room)
        connection.join(group)
        connection.join(member_group(room, connection.member_id))
        member = self.identify(connection)
        if member is None:
            name = next(name for name in names if self._find(room, name) is None)
            member = self._call(connection, room, name)
        return member

    def rename(self, connection: Connection, room: str, name: str) -> Member:
        """Give a member another name.

        Raises:
            NameTakenError: If another member has the name, or one that people take for the same.
        """
        holder = self._find(room, name)
        if holder is not None and holder.id != connection.member_id:
            raise NameTakenError
        return self._call(connection, room, name)

    def _call(self, connection: Connection, room: str, name: str) -> Member:
        connection.describe(room_group(room), {"name": name})
        return Member(id=connection.member_id, name=name)

    def identify(self, connection: Connection) -> Member | None:
        """Tell which member a connection is; `None` if it is in no room."""
        present = self._node.presence_member(room_group(connection.params["room"]), connection.member_id)
        return None if present is None else as_member(present)

    def members(self, room: str) -> list[Member]:
        """Give the members of a room, in the order of their coming."""
        return [
            member
            for present in self._node.presence(room_group(room))
            if (member := as_member(present)) is not None
        ]

    def find(self, room: str, id_or_name: str) -> Member:
        """Find a member.

        Raises:
            NobodyHereError: If no member of the room has this id or name.
        """
        found = self._find(room, id_or_name)
        if found is None:
            raise NobodyHereError
        return found

    def _find(self, room: str, id_or_name: str) -> Member | None:
        name = same_name(id_or_name)
        named: Member | None = None
        for member in self.members(room):
            # An id goes before a name, so that nobody hears another's whispers by taking the id for a name.
            if member.id == id_or_name:
                return member
            if same_name(member.name) == name:
                named = member
        return named
