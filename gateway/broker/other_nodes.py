"""What a node knows of the others: whether all that they send arrives here, and in its order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.broker.wire import Notice

__all__ = ["OtherNodes"]

_REMEMBERED_SECONDS: Final = 600.0
"""For how long a node that is silent is remembered, where there are many. One that is forgotten, and lives,
counts as one of which all has been missed."""

_MANY: Final = 1000


class _Other:
    """Another node.

    Args:
        name: Its name.
    """

    __slots__ = ("heard_at", "link", "loss_told", "name", "number")

    def __init__(self, name: str) -> None:
        self.name = name
        self.link = 0
        """The highest number of its links."""
        self.loss_told = 0
        """The link through which it has told last that something was lost: what went through former ones."""
        self.number = 0
        """The highest number of its notices."""
        self.heard_at = -math.inf
        """When that came."""


class OtherNodes:
    """The other nodes, as far as they have been heard.

    The order of one node's publications does not survive a change of its link where something in between
    holds back what came through the former one: then that comes late. And what is lost between servers of
    the engine shows in no probe: it shows in the numbers of the notices that each node sends all the time.

    Args:
        grace_seconds: For how long after a new link of this node the first notice of each other node may
            show that some were missed: those have been told as the gap of that link.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._linked_at = -math.inf
        self._nodes: dict[str, _Other] = {}  # the one that was heard last comes last

    def __len__(self) -> int:
        return len(self._nodes)

    def begin_link(self, now: float) -> None:
        """Take notice of a new link of this node, about to be subscribed to."""
        self._linked_at = now

    def is_late(self, node: str, link: int) -> bool:
        """Tell whether something came through a link of a node after what came through the next one."""
        other = self._nodes.get(node)
        if other is None:
            return False  # its notices make it known, and one comes first through each of its links
        if link < other.link:
            return True
        other.link = link
        return False

    def is_told(self, node: str, link: int) -> bool:
        """Tell whether a node has said, through a later link than this one, that something was lost."""
        other = self._nodes.get(node)
        return other is not None and link < other.loss_told

    def hear(self, notice: Notice, now: float) -> float | None:
        """Take notice of a notice, whichever it is.

        Returns:
            Since when something that its node has sent may have been missed, of which nobody has told;
            `None` if that is not so.
        """
        other = self._nodes.pop(notice.node, None)
        if other is None:
            self._forget_old(now)
            other = _Other(notice.node)
        self._nodes[notice.node] = other
        other.link = max(other.link, notice.link)
        if notice.note is None:
            other.loss_told = max(other.loss_told, notice.link)
        if notice.number <= other.number:
            return None
        heard_at, other.heard_at = other.heard_at, now
        number, other.number = other.number, notice.number
        if notice.previous <= number:
            return None
        if heard_at < self._linked_at:
            if now - self._linked_at < self._grace_seconds:
                return None
            return self._linked_at  # up to then it has been told
        return heard_at

    def _forget_old(self, now: float) -> None:
        while len(self._nodes) >= _MANY:
            oldest = next(iter(self._nodes.values()))
            if now - oldest.heard_at < _REMEMBERED_SECONDS:
                break
            del self._nodes[oldest.name]
