"""What a node tells the others of its members, and what it hears of theirs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.core.neighbours import BEAT_SECONDS, TELL_SECONDS, Neighbours
from gateway.core.note_form import NodeName, NoteForm
from gateway.core.presence import NOTHING, is_user, plain_copy

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Mapping

    from gateway.broker.contract import Note
    from gateway.core.node import Node
    from gateway.core.presence_group import Here
    from gateway.core.roster import Roster

__all__ = ["MOST_NAME", "Entry", "PresenceNotes"]

MOST_NAME: Final = 600
"""Most characters of a group's name; who is in one with a longer name is not known."""

_ALL: Final = "*"  # no node has this name
_BEATS_TO_ALL: Final = 150  # so often all is told anew, though every loss is noticed by its number
_AT_ONCE: Final = 100  # members in one note: some 10 KB
_NOTES_AT_ONCE: Final = 20
_MOST_MEMBERS: Final = 200_000  # of one node

_Name = Annotated[str, Field(max_length=MOST_NAME)]


def _plain(value: dict[str, Any]) -> Mapping[str, Any]:
    return plain_copy(value) if value else NOTHING


_Plain = Annotated[dict[str, Any], AfterValidator(_plain)]

Entry: TypeAlias = "tuple[str, str, int, float, float, Mapping[str, Any], Mapping[str, Any]]"
"""A group, a member in it (empty where they are only counted), how many connections of the node it has (-1 if
it left for good), since when it is here, and the stamp of what follows: its claims and details."""


class _Presence(NoteForm):
    """A node's word about its members."""

    order: str
    node: NodeName
    number: int = Field(ge=1)
    """Of the note: one more than that of the node's last one, so that a lost one is noticed."""
    asks: str = Field(default="", max_length=200)
    """The node that is to tell all; `*` for every one."""
    begins: bool = False
    """Whether all is told anew from here on."""
    ends: bool = False
    """Whether that is done: what has not been told since it began, is void."""
    leaves: bool = False
    """Whether the node ends."""
    members: list[
        tuple[_Name, _Name, Annotated[int, Field(ge=-1, le=10_000_000)], float, float, _Plain, _Plain]
    ] = Field(default_factory=list, max_length=_AT_ONCE)


class _Other:
    """What is known of another node.

    Args:
        name: Its name.
    """

    __slots__ = ("counts", "name", "number", "unheard", "whole")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        """Of its last note."""
        self.counts: dict[Here, int] = {}
        self.whole = False
        """Whether nothing that it said is missing."""
        self.unheard: set[Here] | None = None
        """While it tells all anew: what it has told before and not yet again."""


class PresenceNotes:
    """What goes between nodes about members.

    Changes are told a tenth of a second after they happen. Every note has a number, and so has the sign of
    life that comes every two seconds: whoever misses one asks for all. While the broker is down nothing is
    collected; over a new link all is told anew.

    Args:
        node: The node, whose broker carries the notes.
        roster: What is told, and what hears.
    """

    __slots__ = (
        "_again",
        "_all",
        "_beat_timer",
        "_beats",
        "_changed",
        "_linked_since",
        "_node",
        "_number",
        "_others",
        "_roster",
        "_tell_timer",
    )

    def __init__(self, node: Node, roster: Roster) -> None:
        self._node = node
        self._roster = roster
        self._others = Neighbours(node.loop, _Other, self._lose)
        self._linked_since: float | None = None
        self._number = 0
        self._beats = 0
        self._changed: dict[Here, bool] = {}
        self._all: list[Here] | None = None
        self._again = False
        self._tell_timer: TimerHandle | None = None
        self._beat_timer: TimerHandle | None = None

    def start(self) -> None:
        """Ask the others for theirs, and tell this node's."""
        self._node.note_takers["presence"] = self.take
        self._beat_timer = self._node.loop.call_later(BEAT_SECONDS, self._beat)
        self._is_linked(asks=_ALL)

    def stop(self) -> None:
        """Say that this node ends."""
        self._say([], leaves=True)
        self._linked_since = None
        for timer in (self._tell_timer, self._beat_timer):
            if timer is not None:
                timer.cancel()

    def changed(self, here: Here, *, for_good: bool) -> None:
        """Note that this node's word on a member is another one."""
        if self._linked_since is not None:
            self._changed[here] = for_good
            self._wait()

    # What is told.

    def _is_linked(self, asks: str = "") -> bool:
        """Tell whether there is a link to the broker; if it is a new one, begin to tell all."""
        status = self._node.broker.status
        since = status.since if status.connected else None
        if since != self._linked_since:
            self._linked_since = since
            self._changed.clear()
            self._all = None
            self._again = False
            if since is not None:
                self._tell_all(asks)
        return since is not None

    def _wait(self) -> None:
        if self._tell_timer is None:
            self._tell_timer = self._node.loop.call_later(TELL_SECONDS, self._tell)

    def _tell_all(self, asks: str = "") -> None:
        if self._all is None and self._say([], begins=True, asks=asks):
            self._again = False
            self._all = list(self._roster.own)
        else:
            self._again = True  # whoever asks has missed the beginning
        self._wait()

    def _tell(self) -> None:
        self._tell_timer = None
        if not self._is_linked():
            return
        notes = 0
        while notes < _NOTES_AT_ONCE and self._tell_some():
            notes += 1
        if self._changed or self._all is not None or self._again:
            self._wait()

    def _tell_some(self) -> bool:
        """Send the next note; tell whether there was one, and room for it."""
        if self._changed:
            some = list(islice(self._changed, _AT_ONCE))
            if not self._say([self._entry(here, for_good=self._changed[here]) for here in some]):
                return False
            for here in some:
                del self._changed[here]
            return True
        if self._all is None:
            if self._again:
                self._tell_all()
            return False
        if not self._all:
            if not self._say([], ends=True):
                return False
            self._all = None
            return True
        own = self._roster.own
        if not self._say([self._entry(here) for here in self._all[-_AT_ONCE:] if here in own]):
            return False
        del self._all[-_AT_ONCE:]
        return True

    def _entry(self, here: Here, *, for_good: bool = False) -> list[Any]:
        count = self._roster.own.get(here, -1 if for_good else 0)
        claims, details = here.card
        return [here.group.name, here.id, count, here.since, here.stamp, dict(claims), dict(details)]

    def _say(self, members: list[list[Any]], **more: Any) -> bool:
        """Send a note; tell whether it is on its way."""
        broker = self._node.broker
        if not broker.status.connected:
            return False
        note = {"order": "presence", "node": self._node.name, "number": self._number + 1, **more}
        try:
            broker.notify({**note, "members": members})
        except BrokerUnavailableError:
            return False
        except (MessageTooBigError, ValueError):
            # In halves; one alone that cannot travel is known here only.
            half = len(members) // 2
            return not half or (self._say(members[:half], **more) and self._say(members[half:], **more))
        self._number += 1
        return True

    def _beat(self) -> None:
        self._beat_timer = self._node.loop.call_later(BEAT_SECONDS, self._beat)
        self._others.drop_silent()
        if not self._is_linked():
            return
        self._beats += 1
        missing = [other.name for other in self._others if not other.whole and other.unheard is None]
        self._say([], asks=_ALL if len(missing) > 1 else "".join(missing))
        if self._beats % _BEATS_TO_ALL == 0:
            self._tell_all()

    # What is heard.

    def take(self, note: Note) -> int:
        """Take another node's word.

        Raises:
            ValueError: If it is none; nothing has changed then.
        """
        if note.get("node") == self._node.name:
            return 0
        said = _Presence.read(note, "a note of presence")
        if said.leaves:
            self._others.drop(said.node)
            return 0
        other, new = self._others.hear(said.node)
        missed = new or said.number != other.number + 1
        other.number = said.number
        asking = missed and (new or other.whole)
        if missed:
            other.whole = False
            other.unheard = None
        if said.begins:
            other.unheard = set(other.counts)
        for entry in said.members:
            self._hear(other, entry)
        if said.ends and other.unheard is not None:
            for here in other.unheard & other.counts.keys():
                self._roster.lose(other.counts, here, for_good=not is_user(here.id))
            other.unheard = None
            other.whole = True
        if asking and other.unheard is None:
            self._say([], asks=other.name)
        if said.asks in {_ALL, self._node.name}:
            self._tell_all()
        return 0

    def _hear(self, other: _Other, entry: Entry) -> None:
        if entry[2] > 0 and len(other.counts) >= _MOST_MEMBERS:
            return
        here = self._roster.hear(other.counts, entry)
        if here is not None and other.unheard is not None:
            other.unheard.discard(here)

    def _lose(self, other: _Other) -> None:
        for here in tuple(other.counts):
            self._roster.lose(other.counts, here, for_good=False)
