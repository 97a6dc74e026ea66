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
    "MessageTooBigError",
    "Note",
    "Notified",
    "OnGap",
    "Publication",
]


class Publication(NamedTuple):
    """A message published to a group.

    Args:
        group: The group's name.
        message: Text as `str`, binary as `bytes`.
        exclude: Id of the connection that does not get it, on whichever node it lives; `None` for no one.
        key: What the message is the newest state of, for the overflow policy `conflate`; `None` stands for
            the whole group.
    """

    group: str
    message: str | bytes
    exclude: str | None = None
    key: str | None = None


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
    dropped: Counter[str] = field(default_factory=Counter)
    """Arrived messages that were thrown away, by reason: `junk`, `too_big`, `version`, and `own`, echoes of
    what this node has sent."""

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
    that would not wait for it, or when another node could not send all it had. A lost connection is made
    anew for ever, with every subscription.

    Not promised: that a publication arrives when the carrier or a connection to it fails, that one arrives
    that was sent while a subscription was on its way, an order between publishers, and storage.

    All methods are called on the node's event loop, and none but `start`, `stop` and `claim` waits.
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

        Returns:
            The number of this node's members that got it.

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
