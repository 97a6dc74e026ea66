"""The counts of other nodes, so that limits on connections hold over all of them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import Field

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.core.neighbours import BEAT_SECONDS, TELL_SECONDS, Neighbours
from gateway.core.note_form import NodeName, NoteForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.broker.contract import Note
    from gateway.core.node import Node
    from gateway.server.limits import Key

__all__ = ["SharedCounts"]

_BEATS_TO_ALL: Final = 15  # so often all counts are told again: what got lost is mended within half a minute
_AT_ONCE: Final = 500  # counts in one note: some 20 KB
_MOST_COUNTS: Final = 200_000  # of one node

_Name = Annotated[str, Field(max_length=512)]


class _Counts(NoteForm):
    """A node's word about its counts."""

    order: Literal["counts"] = "counts"
    node: NodeName
    asks: bool = False
    """Whether the node wants to be told all counts of the others."""
    anew: bool = False
    """Whether all that was told before is void: the counts that follow, in this note and others, are all."""
    leaves: bool = False
    """Whether the node ends."""
    counts: list[tuple[Literal["address", "user", "route"], _Name, Annotated[int, Field(ge=0)]]] = Field(
        max_length=_AT_ONCE
    )


_Other: TypeAlias = "dict[Key, int]"
"""The counts of another node."""


def _no_counts(_name: str) -> _Other:
    return {}


class SharedCounts:
    """What this node tells the others of its counts, and what they have told.

    Changes are told a tenth of a second after they happen, so that many clients who come at once through
    several nodes may pass a limit by as many as come in that time. What a node said is forgotten when it is
    silent for seven seconds. While the broker is down each node goes by its own counts.

    Args:
        node: The node, whose broker carries the notes.
        own: This node's counts, as they are.
    """

    __slots__ = ("_beats", "_changed", "_left", "_node", "_others", "_own", "_total")

    def __init__(self, node: Node, own: Mapping[Key, int]) -> None:
        self._node = node
        self._own = own
        self._others: Neighbours[_Other] = Neighbours(node.loop, _no_counts, self._forget)
        self._total: Counter[Key] = Counter()
        self._changed: dict[Key, None] = {}
        self._beats = 0
        self._left = False
        node.note_takers["counts"] = self.take

    def start(self) -> None:
        """Ask the others for their counts, and go on telling this node's. Called when the broker runs."""
        self._say([], asks=True)
        self._node.every(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """Say that this node ends, and nothing more."""
        self._say([], leaves=True)
        self._left = True

    def count(self, key: Key) -> int:
        """Give how many connections other nodes have of an address, a user or a route."""
        return self._total[key]

    def others(self) -> list[str]:
        """Give the names of the other nodes."""
        return self._others.names

    def changed(self, key: Key) -> None:
        """Note that a count of this node has changed."""
        if not self._changed:
            self._node.after(TELL_SECONDS, self._tell)
        self._changed[key] = None

    def take(self, note: Note) -> int:
        """Take another node's word.

        Raises:
            ValueError: If it is none; nothing has changed then.
        """
        said = _Counts.read(note, "a note of counts")
        if said.node == self._node.name:
            return 0
        if said.leaves:
            self._others.drop(said.node)
            return 0
        other, new = self._others.hear(said.node)
        if new and not said.asks:
            self._say([], asks=True)
        if said.anew:
            self._forget(other)
        for kind, name, count in said.counts:
            self._set(other, (kind, name), count)
        if said.asks:
            self._tell_all()
        return 0

    def _forget(self, other: _Other) -> None:
        for key in tuple(other):
            self._set(other, key, 0)

    def _set(self, other: _Other, key: Key, count: int) -> None:
        former = other.pop(key, 0)
        if count and len(other) < _MOST_COUNTS:
            other[key] = count
        else:
            count = 0
        self._total[key] += count - former
        if not self._total[key]:
            del self._total[key]

    def _tell(self) -> None:
        changed = list(self._changed)
        self._changed.clear()
        for start in range(0, len(changed), _AT_ONCE):
            self._say(changed[start : start + _AT_ONCE])

    def _tell_all(self) -> None:
        keys = list(self._own)
        for start in range(0, max(len(keys), 1), _AT_ONCE):
            self._say(keys[start : start + _AT_ONCE], anew=start == 0)

    def _beat(self) -> None:
        self._beats += 1
        if self._beats % _BEATS_TO_ALL:
            self._say([])
        else:
            self._tell_all()
        self._others.drop_silent()

    def _say(self, keys: list[Key], *, asks: bool = False, anew: bool = False, leaves: bool = False) -> None:
        if self._left or not self._node.broker.status.connected:
            return
        counts = [[kind, name, self._own.get((kind, name), 0)] for kind, name in keys]
        said = {"asks": asks, "anew": anew, "leaves": leaves}
        note = {"order": "counts", "node": self._node.name, **said, "counts": counts}
        # Nobody waits for it: what too many waiting notes leave no room for is told with the next of all.
        with suppress(BrokerUnavailableError, MessageTooBigError):
            self._node.broker.notify(note)
