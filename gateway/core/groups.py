"""Groups: named sets of connections on one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.config.models import Overflow
    from gateway.core.connection import Connection
    from gateway.core.presence_group import GroupPresence
    from gateway.core.shared_frames import SharedFrames
    from gateway.observe.tallies import GroupTally

__all__ = ["ADMIN", "EVERYONE", "Group", "user_group", "user_of"]

EVERYONE = "$everyone"
"""The group of all connections. Names that begin with `$` are the gateway's own."""

ADMIN: Final = "$admin"
"""The group of operators who look; no policy is for it."""

_USER: Final = "$user:"


def user_group(user: str) -> str:
    """Give the name of the group of all connections of a user."""
    return _USER + user


def user_of(group: str) -> str | None:
    """Give the user of whom a group holds the connections; `None` if it is another kind of group."""
    return group[len(_USER) :] if group.startswith(_USER) else None


class Group:
    """The members that a group has on this node.

    A member costs nine bytes here. Whether a connection is one says its own `joined`; a member that has
    left stays listed until the list is made anew, by the next publication or once half of it has left.

    Args:
        name: The group's name.
        overflow: What happens to a member whose send queue is full; `None` for its route's policy.
        tally: Where publications to it are counted.
    """

    __slots__ = (
        "_gone",
        "_listed",
        "_snapshot",
        "name",
        "overflow",
        "particular",
        "presence",
        "shared",
        "tally",
    )

    def __init__(self, name: str, overflow: Overflow | None, tally: GroupTally) -> None:
        self.name = name
        self.overflow = overflow
        self.tally = tally
        self.particular = 0
        """How many members take compressed messages, or envelopes."""
        self.shared: SharedFrames | None = None
        """What members share of this turn's publications; `None` if there is nothing yet."""
        self.presence: GroupPresence | None = None
        """Who is in it over all nodes; `None` where that is not known."""
        self._listed: list[Connection] = []
        self._gone: set[Connection] = set()
        self._snapshot: tuple[Connection, ...] | None = ()

    def __len__(self) -> int:
        return len(self._listed) - len(self._gone)

    def add(self, connection: Connection) -> None:
        """Make a connection a member; it must be none."""
        if connection in self._gone:
            self._gone.discard(connection)
        else:
            self._listed.append(connection)
        self._snapshot = None
        if self.shared is not None:
            self.shared.others.append(connection)
        if connection.particular:
            self.particular += 1

    def discard(self, connection: Connection) -> None:
        """Make a member none."""
        self._gone.add(connection)
        self._snapshot = None
        self.shared = None  # what is published in the rest of this turn is not for everyone who shares it
        if connection.particular:
            self.particular -= 1
        if len(self._gone) * 2 > len(self._listed):
            self.present()

    def present(self) -> list[Connection]:
        """Give the members as a list that is not to be changed.

        Who joins is added to it; when someone leaves, it stays as it is, and a new one takes its place.
        """
        gone = self._gone
        if gone:
            self._listed = [member for member in self._listed if member not in gone]
            self._gone = set()
        return self._listed

    @property
    def members(self) -> tuple[Connection, ...]:
        """The members; made anew only after a change."""
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._snapshot = tuple(self.present())
        return snapshot
