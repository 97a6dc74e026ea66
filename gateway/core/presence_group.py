"""One group's members over all nodes, as this node knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.core.presence import NOTHING, Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.models import GroupPolicy
    from gateway.core.connection import Connection
    from gateway.core.roster import Roster

__all__ = ["BLANK", "Card", "GroupPresence", "Here"]

Card: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, Any]]"
"""A member's claims and details."""

BLANK: Card = (NOTHING, NOTHING)


class Here:
    """A member of a group, or the sum of all where they are only counted.

    Args:
        group: The group.
        id: The member's; empty where they are only counted.
        since: When it came.
    """

    __slots__ = ("card", "connections", "group", "id", "since", "stamp", "told")

    def __init__(self, group: GroupPresence, id: str, since: float) -> None:  # noqa: A002
        self.group = group
        self.id = id
        self.connections = 0
        """Those on all nodes."""
        self.since = since
        self.card: Card = BLANK
        self.stamp = 0.0
        """Whose word on the card holds: of two nodes', that with the greater stamp, which is a time."""
        self.told: Card | None = None
        """What this node's handlers know; `None` if they do not know of the member."""

    @property
    def present(self) -> bool:
        """Whether it is still a member, if perhaps away."""
        return self.group.members.get(self.id) is self

    def member(self, card: Card | None = None) -> Member:
        """Give the member, with a former card if one is given."""
        claims, details = self.card if card is None else card
        return Member(self.id, self.connections, self.since, claims, details)


class GroupPresence:
    """The members of a group over all nodes.

    Args:
        roster: What has all of them.
        name: The group's name.
        policy: What gateway.yaml says of it.
    """

    __slots__ = ("_roster", "_snapshot", "connections", "members", "name", "policy")

    def __init__(self, roster: Roster, name: str, policy: GroupPolicy) -> None:
        self._roster = roster
        self.name = name
        self.policy = policy
        self.members: dict[str, Here] = {}
        self.connections = 0
        """Those on all nodes."""
        self._snapshot: tuple[Member, ...] | None = None

    @property
    def counted(self) -> bool:
        """Whether it is only known how many there are."""
        return self.policy.presence == "count"

    def add(self, connection: Connection) -> None:
        """Count a connection of this node that joins."""
        self._roster.add(self, connection)

    def discard(self, connection: Connection, *, for_good: bool) -> None:
        """Count a connection of this node no more.

        Args:
            connection: The connection.
            for_good: Whether it has left by its own will, and did not just end: then nobody waits for it.
        """
        self._roster.discard(self, connection, for_good=for_good)

    def changed(self) -> None:
        """Note that a member is another than before."""
        self._snapshot = None

    @property
    def snapshot(self) -> tuple[Member, ...]:
        """The members in the order of their coming; made anew only after a change."""
        found = self._snapshot
        if found is None:
            here = sorted(self.members.values(), key=lambda one: (one.since, one.id))
            found = self._snapshot = tuple([one.member() for one in here])
        return found
