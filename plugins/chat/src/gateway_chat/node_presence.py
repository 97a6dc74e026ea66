"""Who is in which room, seen from one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway_chat.errors import NameTakenError, NobodyHereError
from gateway_chat.names import same_name
from gateway_chat.outgoing import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway import Connection, Node

__all__ = ["NodePresence", "Present", "room_group"]

MEMBER: Final = "chat.member"
"""Where `connection.state` keeps the member."""


def room_group(room: str) -> str:
    """Name the group of a room's connections."""
    return f"room:{room}"


class Present(NamedTuple):
    """A member, and the connection that they are here by."""

    connection: Connection
    member: Member


class NodePresence:
    """Who is in which room on this node.

    It keeps nothing: a room's connections are the members of its group, and each holds who it is in its
    own state. A connection that is in the group by other means is nobody here.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def enter(self, connection: Connection, room: str, names: Iterable[str]) -> Member:
        """Bring a connection into a room, under the first of the names that is free."""
        name = next(name for name in names if self._seek(room, name) is None)
        member = connection.state[MEMBER] = Member(id=connection.id, name=name)
        connection.join(room_group(room))
        return member

    def rename(self, connection: Connection, room: str, name: str) -> Member:
        """Give a member another name.

        Raises:
            NameTakenError: If another member has the name, or one that people take for the same.
        """
        holder = self._seek(room, name)
        if holder is not None and holder.connection is not connection:
            raise NameTakenError
        member = connection.state[MEMBER] = Member(id=connection.id, name=name)
        return member

    def identify(self, connection: Connection) -> Member | None:
        """Tell which member a connection is, or was when it ended; `None` if it is in no room."""
        member: Member | None = connection.state.get(MEMBER)
        return member

    def members(self, room: str) -> list[Member]:
        """Give the members of a room, in the order of their coming."""
        return [present.member for present in self._present(room)]

    def find(self, room: str, id_or_name: str) -> Present:
        """Find a member.

        Raises:
            NobodyHereError: If no member of the room has this id or name.
        """
        found = self._seek(room, id_or_name)
        if found is None:
            raise NobodyHereError
        return found

    def _seek(self, room: str, id_or_name: str) -> Present | None:
        name = same_name(id_or_name)
        named: Present | None = None
        for present in self._present(room):
            # An id goes before a name, so that nobody hears another's whispers by taking the id for a name.
            if present.member.id == id_or_name:
                return present
            if same_name(present.member.name) == name:
                named = present
        return named

    def _present(self, room: str) -> Iterator[Present]:
        for connection in self._node.members(room_group(room)):
            member = self.identify(connection)
            if member is not None:
                yield Present(connection, member)
