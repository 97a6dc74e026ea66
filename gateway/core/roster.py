"""Who is in which group over all nodes, of the groups with presence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.broker.memory import MemoryBroker
from gateway.core.presence import (
    NoPresenceError,
    choose_claims,
    is_user,
    no_presence,
    plain_copy,
)
from gateway.core.presence_events import PresenceEvents
from gateway.core.presence_group import GroupPresence, Here
from gateway.core.presence_notes import MOST_NAME, PresenceNotes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gateway.broker.contract import Note
    from gateway.core.connection import Connection
    from gateway.core.node import Node
    from gateway.core.presence import Member, PresenceOf
    from gateway.core.presence_notes import Entry

__all__ = ["Roster"]

_MOST_AWAY: Final = 100_000
_TICK: Final = 1e-6  # seconds by which a newer word is later at least, whatever the clocks say


def _pass_over(_note: Note) -> int:
    return 0


class Roster:
    """The members of all groups with presence.

    It counts this node's connections as the hub tells it, and those of other nodes by their notes. A member
    whose last connection ended is away for the group's grace, and has left after it; one without an identity
    cannot come back, and has left at once, unless its whole node fell silent.

    Args:
        node: The node.
        policy_of: Gives the policies of groups with presence.
    """

    __slots__ = ("_away", "_events", "_groups", "_node", "_notes", "_policy_of", "own")

    def __init__(self, node: Node, policy_of: PresenceOf = no_presence) -> None:
        self._node = node
        self._policy_of = policy_of
        self._groups: dict[str, GroupPresence] = {}
        self._away: set[Here] = set()
        self.own: dict[Here, int] = {}
        """How many connections of this node each member has."""
        self._events = PresenceEvents(node)
        self._notes: PresenceNotes | None = None

    def start(self) -> None:
        """Begin to share it with other nodes, if there may be some. Called when the broker runs."""
        if self._policy_of is no_presence:
            # Nodes whose gateway.yaml is a newer one may have begun.
            self._node.note_takers["presence"] = _pass_over
        elif not isinstance(self._node.broker, MemoryBroker):
            self._notes = PresenceNotes(self._node, self)
            self._notes.start()

    def stop(self) -> None:
        """Tell other nodes that this one ends."""
        if self._notes is not None:
            self._notes.stop()
            self._node.note_takers["presence"] = _pass_over

    # Questions.

    def members(self, name: str) -> tuple[Member, ...]:
        """Give a group's members.

        Raises:
            NoPresenceError: If they are not known.
        """
        found = self._groups.get(name)
        if found is None:
            self._check(name, counting=False)
            return ()
        if found.counted:
            raise NoPresenceError(name, counted=True)
        return found.snapshot

    def member(self, name: str, member: str) -> Member | None:
        """Give one member of a group; `None` if there is none of this id.

        Raises:
            NoPresenceError: If they are not known.
        """
        found = self._groups.get(name)
        if found is None or found.counted:
            self._check(name, counting=False)
            return None
        here = found.members.get(member)
        return None if here is None else here.member()

    def connections(self, name: str) -> int:
        """Give how many connections are in a group.

        Raises:
            NoPresenceError: If that is not known.
        """
        found = self._groups.get(name)
        if found is None:
            self._check(name, counting=True)
            return 0
        return found.connections

    def _check(self, name: str, *, counting: bool) -> None:
        policy = self._policy(name)
        if policy is None:
            raise NoPresenceError(name)
        if policy.presence == "count" and not counting:
            raise NoPresenceError(name, counted=True)

    def _policy(self, name: str) -> Any:
        if name.startswith("$") or len(name) > MOST_NAME:
            return None
        policy = self._policy_of(name)
        return None if policy is None or policy.presence == "off" else policy

    def group(self, name: str) -> GroupPresence | None:
        """Give what is known of a group, for somebody who is about to be counted; `None` if nobody is."""
        found = self._groups.get(name)
        if found is None and (policy := self._policy(name)) is not None:
            found = self._groups[name] = GroupPresence(self, name, policy)
        return found

    # This node's connections.

    def add(self, group: GroupPresence, connection: Connection) -> None:
        """Count a connection that joins."""
        self._events.settle_group(group)  # what has happened before it came is not for it
        self._events.listen(connection)
        here = self._find(group, "" if group.counted else connection.member_id, self._node.now())
        self._set(self.own, here, self.own.get(here, 0) + 1, for_good=False)
        self._take_claims(here, connection)
        self._tell(here)

    def discard(self, group: GroupPresence, connection: Connection, *, for_good: bool) -> None:
        """Count a connection no more."""
        here = group.members.get("" if group.counted else connection.member_id)
        if here is None or here not in self.own:
            return
        for_good = for_good or not is_user(here.id)
        count = self.own[here] - 1
        self._set(self.own, here, count, for_good=for_good)
        self._tell(here, for_good=for_good and not count)

    def renew(self, connection: Connection) -> None:
        """Take the claims of a connection's new identity."""
        for group in connection.joined:
            if group.presence is not None and not group.presence.counted:
                here = group.presence.members.get(connection.member_id)
                if here is not None and self._take_claims(here, connection):
                    self._tell(here)

    def _take_claims(self, here: Here, connection: Connection) -> bool:
        claims = choose_claims(connection.identity, here.group.policy.presence_claims)
        if claims == here.card[0]:
            return False
        self._write(here, claims, here.card[1])
        return True

    def describe(self, connection: Connection, name: str, details: Mapping[str, Any]) -> None:
        """Say something of the member that a connection counts as.

        Raises:
            NoPresenceError: If the group has no members that are told.
            ValueError: If the details are no plain data, too long, or the connection is no member.
        """
        self._check(name, counting=False)
        copied = plain_copy(details)
        group = self._groups.get(name)
        here = None if group is None else group.members.get(connection.member_id)
        if here is None or here not in self.own:
            raise ValueError("not a member of the group")
        if copied == here.card[1]:
            return
        if here.card[1]:
            # What was said before is told first, so that nobody misses a change that is made twice in a turn.
            self._events.settle(here)
        described = bool(here.card[1])
        self._write(here, here.card[0], copied)
        if described:
            self._events.settle(here)
        self._tell(here)

    def _write(self, here: Here, claims: Mapping[str, Any], details: Mapping[str, Any]) -> None:
        here.card = (claims, details)
        here.stamp = max(self._node.now(), here.stamp + _TICK)
        here.group.changed()
        self._events.mark(here)

    def _tell(self, here: Here, *, for_good: bool = False) -> None:
        if self._notes is not None:
            self._notes.changed(here, for_good=for_good)

    # Other nodes' connections.

    def hear(self, counts: dict[Here, int], entry: Entry) -> Here | None:
        """Take another node's word on a member.

        Args:
            counts: What it has said so far.
            entry: The word.

        Returns:
            The member; `None` if it is of no importance here.
        """
        name, member, count, since, stamp, claims, details = entry
        group = self.group(name)
        if group is None:
            return None
        if group.counted != (not member) or (count <= 0 and member not in group.members):
            self._tidy(group)
            return None
        here = self._find(group, member, since)
        if count > 0:
            here.since = min(here.since, since)
            if stamp > here.stamp:
                here.card = (claims, details)
                here.stamp = stamp
                self._events.mark(here)
        self._set(counts, here, max(count, 0), for_good=count < 0)
        return here

    def lose(self, counts: dict[Here, int], here: Here, *, for_good: bool) -> None:
        """Count what another node has of a member no more."""
        self._set(counts, here, 0, for_good=for_good)

    # What changes.

    def _find(self, group: GroupPresence, member: str, since: float) -> Here:
        here = group.members.get(member)
        if here is None:
            here = group.members[member] = Here(group, member, since)
            if not group.counted:
                self._events.mark(here)
        return here

    def _set(self, counts: dict[Here, int], here: Here, count: int, *, for_good: bool) -> None:
        former = counts.get(here, 0)
        if count:
            counts[here] = count
        else:
            counts.pop(here, None)
        group = here.group
        here.connections += count - former
        group.connections += count - former
        group.changed()
        if here.connections:
            if here in self._away:
                self._away.discard(here)
                self._grace(here).end(here)
        elif for_good or group.counted or not group.policy.presence_grace_seconds:
            self._remove(here)
        elif here not in self._away:
            if len(self._away) >= _MOST_AWAY:
                self._remove(here)
            else:
                self._away.add(here)
                self._grace(here).begin(here)

    def _grace(self, here: Here) -> Any:
        seconds = here.group.policy.presence_grace_seconds
        return self._node.deadlines(seconds, self._remove, self._node.clock)

    def _remove(self, here: Here) -> None:
        if here in self._away:
            self._away.discard(here)
            self._grace(here).end(here)
        if here.present:
            group = here.group
            del group.members[here.id]
            group.changed()
            if not group.counted:
                self._events.mark(here)
            self._tidy(group)

    def _tidy(self, group: GroupPresence) -> None:
        # As long as a connection of this node is in it, it has a member.
        if not group.members:
            self._groups.pop(group.name, None)
