"""What members are told when publications may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from gateway.core.envelope import gap_envelope
from gateway.core.note_form import NoteForm
from gateway.protocol.close_codes import PUBLICATIONS_MISSED

if TYPE_CHECKING:
    from gateway.broker.contract import Note
    from gateway.core.connection import Connection
    from gateway.core.node import Node

__all__ = ["Gaps"]

_AT_ONCE: Final = 200  # members in one turn of the loop: 2 ms
_REASON: Final = "publications may be missing"


class _Lost(NoteForm, strict=True):
    """A broker's word that publications may not have been kept."""

    order: Literal["lost"]
    groups: list[Annotated[str, Field(max_length=4096)]] = Field(max_length=1000)


class Gaps:
    """The teller of gaps; each route says what becomes of its connections then.

    Args:
        node: The node.
    """

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def group(self, name: str) -> None:
        """Tell the members of a group with history."""
        # All in one turn: what is published next must not come before it.
        for member in self._node.hub.members(name):
            self._tell_one(member, name)

    def plain(self) -> None:
        """Tell all members of groups without history: every connection, since all are in one of everyone."""
        self._tell_in_turns(self._node.hub.connections)

    def take(self, note: Note) -> int:
        """Take the broker's word; give how many of this node's connections it is about.

        Raises:
            ValueError: If it is none.
        """
        lost = _Lost.read(note, "a note of lost publications")
        trackers = self._node.trackers
        groups = [group for group in self._node.hub.groups if trackers.get(group) is not None]
        if lost.groups:
            groups = [group for group in lost.groups if group in groups]
        for group in groups:
            self._node.metrics.publication_gaps += 1
            self.group(group)
        return sum(len(self._node.hub.members(group)) for group in groups)

    def _tell_in_turns(self, members: tuple[Connection, ...]) -> None:
        for member in members[:_AT_ONCE]:
            if member.is_open:
                self._tell_one(member, None)
        if len(members) > _AT_ONCE:
            self._node.loop.call_soon(self._tell_in_turns, members[_AT_ONCE:])

    def _tell_one(self, member: Connection, group: str | None) -> None:
        action = member.on_gap(kept=group is not None)
        if action == "close":
            member.begin_close(PUBLICATIONS_MISSED, _REASON)
        elif action == "tell":
            token = self._node.resuming.token(member.resume_set)
            member.send_envelope(gap_envelope(group, token))
