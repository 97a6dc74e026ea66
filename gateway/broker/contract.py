"""The contract between a node and what carries its publications."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from gateway.errors import GatewayError

__all__ = [
    "Broker",
    "BrokerStatus",
    "BrokerUnavailableError",
    "Deliver",
    "History",
    "HistoryOf",
    "HistoryPolicy",
    "Kept",
    "MessageTooBigError",
    "Note",
    "Notified",
    "OnGap",
    "Position",
    "Publication",
    "no_history",
]


class Publication(NamedTuple):
    """A message published to a group.

    Args:
        group: The group's name.
        message: Text as `str`, binary as `bytes`.
        exclude: Id of the connection that does not get it, on whichever node it lives; `None` for no one.
        key: What the message is the newest state of, for the overflow policy `conflate`; `None` stands for
            the whole group.
        offset: Its place in the group's history, growing from one publication of the group to the next, by
            one or by more; 0 where the group keeps none.
        previous: The offset of the publication before it in the group; 0 if that is not known any more.
        epoch: Names the life of the history that offsets count in; empty where there is none.
        lost: Whether it stands for others, of which it is not known whether they are kept. It has no message.
    """

    group: str
    message: str | bytes
    exclude: str | None = None
    key: str | None = None
    offset: int = 0
    previous: int = 0
    epoch: str = ""
    lost: bool = False


class Position(NamedTuple):
    """A place in a group's history: whoever is there has everything up to it.

    Args:
        offset: The offset of the last publication there, or any up to the next one's; 0 before the first.
        epoch: The life of the history; with another one, offsets cannot be compared.
    """

    offset: int
    epoch: str


class HistoryPolicy(NamedTuple):
    """How much history a group keeps.

    Args:
        pattern: The pattern of the policy, by which engines tell one from the other.
        size: Most publications that are kept of each group.
        seconds: For how long they are kept.
    """

    pattern: str
    size: int
    seconds: float


HistoryOf: TypeAlias = Callable[[str], HistoryPolicy | None]
"""Give the policy of a group by its name; `None` where it keeps no history."""


def no_history(_group: str) -> HistoryPolicy | None:
    """Say of every group that it keeps no history."""
    return None


class Kept(NamedTuple):
    """What became of a publication that was to be kept.

    Args:
        position: Its own; for a repetition, that of the first.
        repeated: Whether its idempotency key has been seen before: nothing was published then.
    """

    position: Position
    repeated: bool = False


class History(NamedTuple):
    """A part of a group's history.

    Args:
        publications: In order, each with offset, epoch and the offset before it, as far as that is known.
        newest: The position of the group's newest publication; where there is none, one before any later.
        floor: No publication of the group lies between this offset and the first of `publications`, or
            `newest` if there are none: whoever is at this offset or behind it misses nothing by them.
        whole: Whether everything that was published to the group within its `seconds` is kept still. Where
            it is, a position that was the newest within them misses nothing either, whatever `floor` says.
    """

    publications: tuple[Publication, ...]
    newest: Position
    floor: int
    whole: bool


class BrokerUnavailableError(GatewayError):
    """Something that the broker cannot do now.

    Args:
        fact: Why, in lower case and with nothing of the question in it.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"broker unavailable: {fact}")
        self.fact = fact


class MessageTooBigError(GatewayError):
    """A publication or a note that is too big for the way between nodes.

    Args:
        size: Its bytes on that way.
        limit: The most that there may be.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"too big for the broker: {size} bytes, limit {limit}")
        self.size = size
        self.limit = limit


@dataclass(slots=True)
class BrokerStatus:
    """What a broker tells about itself. It writes here; health checks and figures read.

    Times are those of the event loop's clock, in seconds.
    """

    connected: bool = False
    """Whether the carrier can be used: it has just passed on a probe, and the connection has not ended."""
    since: float = -math.inf
    """When `connected` last changed."""
    proved_at: float = -math.inf
    """When a probe last came back through the carrier."""
    patience_seconds: float = math.inf
    """For how long one proof is good: two intervals of the probe; endless where there is nothing to prove."""
    round_trip_seconds: float | None = None
    """How long the last probe took to come back; `None` if none has."""
    reconnects: int = 0
    """Connections that were made in place of another."""
    publications_lost: int = 0
    """Publications that were not sent to other nodes, since there was no connection or no room."""
    publications_unproved: int = 0
    """Publications on their way when a connection ended: they may have arrived, or not."""
    publications_refused: int = 0
    """Publications to groups with history that the engine would not keep: no one got them."""
    blind_since: float = -math.inf
    """Since when publications may have been missed, told with the last gap: the last proof before it. What
    other nodes could not send, they have not published to groups with history: then it is the gap's time."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Arrived messages that were thrown away, by reason: `junk`, `too_big`, `version`; `late`, which came
    through a node's former link behind what came through its next one; `own`, echoes of what it has sent."""

    def is_down(self, now: float) -> bool:
        """Tell whether the last proof is too old, or there was none yet."""
        return now - self.proved_at > self.patience_seconds


Deliver: TypeAlias = Callable[[Publication], int]
"""Hand a publication to this node's members of its group; give how many got it."""

Note: TypeAlias = Mapping[str, Any]
"""Plain data from one node to all: texts, numbers, booleans, `None`, and lists and mappings of these."""

Notified: TypeAlias = Callable[[Note], int]
"""Take a note; give how many of this node's connections it was about. Raises for what is none."""

OnGap: TypeAlias = Callable[[], None]
"""Take notice that publications or notes of other nodes may be missing up to now, and none from now on."""


class Broker(Protocol):
    """A carrier of publications.

    Promised: each node that has subscribed to a group gets each of its publications at most once, and
    those of one publisher in order, whatever groups they went to. Members on the publisher's own node get
    them at once, whether there is a connection to the carrier or not. A node that may have missed something
    is told so by `on_gap`: after it has lost its connection and has another, or its place with a carrier
    that would not wait for it, when another node could not send all it had, and when what another node sends
    all the time shows that some has not arrived, though every connection is good. A lost connection is made
    anew for ever, with every subscription. Publications that are still brought of a publisher's former
    connection, behind what came through its next one, are dropped, and a gap is told of them; notes are
    handed over however late they come.

    A group that keeps history is another matter. The engine gives each of its publications an offset and
    keeps it, in one step, and every node gets it from the engine in the order of the offsets, the publisher's
    own too. While there is no connection they wait to be sent, as many as have room. Of those that were on
    their way when a connection ended it is unknown whether they are kept: all nodes get the note
    `{"order": "lost", "groups": [...]}` that names their groups, and in each of these histories a publication
    that says `lost` comes before the node's next one, for whoever does not get the note. What a node cannot
    read of a history is `lost` for it, at its place.

    Not promised: that a publication arrives when the carrier or a connection to it fails, that one arrives
    that was sent while a subscription was on its way, an order between publishers, or between groups of which
    one keeps history, and storage of what groups without history get. In a history, what the engine gets late
    of a connection that has ended stands behind what went through the next one, for all nodes alike. That is
    as good as shut out: the system sends nothing more of such a connection, and an engine that can end it is
    told to. What is left is a connection that something in between ends and goes on with, to an engine that
    cannot, and what an engine that had been stopped has in its own buffers.

    All methods are called on the node's event loop, and none but `start`, `stop`, `claim`, `store` and
    `history` waits.
    """

    @property
    def status(self) -> BrokerStatus:
        """How it is; the same object for the broker's whole life."""

    async def start(self, deliver: Deliver, notified: Notified, on_gap: OnGap) -> None:
        """Try to connect, and from now on hand over what arrives.

        Args:
            deliver: Gets each publication of the groups that are subscribed to; others it passes over.
            notified: Gets each note.
            on_gap: Called once for each gap, when every subscription holds again.

        Raises:
            BrokerUnavailableError: If there is no connection and the settings say that one is required.
                Otherwise the broker goes on trying.
        """

    async def stop(self) -> None:
        """Let what is on its way out leave, for a short time, and disconnect. May be called twice."""

    def subscribe(self, group: str) -> None:
        """Begin to receive a group: its first member on this node has joined."""

    def unsubscribe(self, group: str) -> None:
        """Cease to receive a group, perhaps a little later: its last member on this node has left."""

    def publish(self, publication: Publication) -> int:
        """Hand a publication to this node's members, and send it on its way to every other node.

        That of a group with history is sent on its way to the engine, and handed over when it comes back.

        Returns:
            The number of this node's members that got it; 0 if it has to come back first.

        Raises:
            BrokerUnavailableError: If other nodes cannot be reached and the settings say that then no one
                gets it. Otherwise it is counted as lost to them.
            MessageTooBigError: If it cannot travel; no one has got it then.
        """

    def notify(self, note: Note) -> int:
        """Hand a note to this node, and send it on its way to every other; it waits for a connection.

        Returns:
            What `notified` has given here.

        Raises:
            BrokerUnavailableError: If too much waits already; nothing has been done then.
            MessageTooBigError: If it cannot travel; nothing has been done then.
            ValueError: If it is no plain data; nothing has been done then.
        """

    async def claim(self, key: str, seconds: float) -> bool:
        """Be the first of all nodes to name a key, as for something that is good once.

        Promised: of all claims of a key within `seconds` of the first, on whatever nodes, one is true. Not
        promised: that a claim outlives the carrier, as when it restarts without a disk.

        Args:
            key: What is claimed.
            seconds: How long the first claim holds at least; a carrier may round it up to whole seconds, and
                a later claim does not prolong it.

        Returns:
            Whether this is the first claim.

        Raises:
            BrokerUnavailableError: If that cannot be found out: neither answer would be safe to take.
        """

    async def store(self, publication: Publication, idempotency_key: str | None = None) -> Kept:
        """Publish to a group with history, and wait until the engine has it.

        Args:
            publication: The publication.
            idempotency_key: Names the publication, so that it is published once however often it is tried
                within `broker: idempotency_seconds`; a key belongs to its group. `None` for no such care.

        Returns:
            Its position. It may not have been delivered yet, not even here.

        Raises:
            BrokerUnavailableError: If the engine has not answered that it is kept. It may be, or may still
                become so; only with an idempotency key is it safe to try again.
            MessageTooBigError: If it cannot travel; no one has got it then.
            ValueError: If the group keeps no history.
        """

    async def history(self, group: str, since: int | None, limit: int) -> History:
        """Read what a group keeps.

        The answer is newer than everything of the group that this node had been handed when it was asked for;
        a subscription that was asked for before is in force by then, so that what is not in the answer
        arrives.

        Args:
            group: The group's name.
            since: The offset behind which to begin; `None` for the last `limit` ones.
            limit: Most publications that are given; 0 to learn the position.

        Raises:
            BrokerUnavailableError: If the engine cannot be asked.
            ValueError: If the group keeps no history.
        """
