"""The contract between a node and what carries its publications."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

__all__ = ["Broker", "Deliver", "Publication"]


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


Deliver: TypeAlias = Callable[[Publication], int]
"""Hand a publication to this node's members of its group; give how many got it."""


class Broker(Protocol):
    """A carrier of publications.

    Promised: each node that has subscribed to a group gets each of its publications at most once, and
    those of one publisher in order. Not promised: that a publication arrives when the carrier or the
    connection to it fails, an order between publishers, and storage. All methods are called on the
    node's event loop, and none but `start` and `stop` waits.
    """

    async def start(self, deliver: Deliver) -> None:
        """Connect, and from now on hand each arriving publication to `deliver`."""

    async def stop(self) -> None:
        """Let publications on their way out leave, and disconnect."""

    def subscribe(self, group: str) -> None:
        """Begin to receive a group: its first member on this node has joined."""

    def unsubscribe(self, group: str) -> None:
        """Cease to receive a group: its last member on this node has left."""

    def publish(self, publication: Publication) -> int:
        """Send a publication on its way to every node, this one included.

        Returns:
            The number of this node's members that got it before the call returned.
        """
