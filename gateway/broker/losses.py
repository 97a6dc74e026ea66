"""Tells every node of groups with history that may have lost publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["Losses"]

MOST_GROUPS: Final = 100
"""Most groups that one note names; where there are more, it says that it may be any."""

_GATHER_SECONDS: Final = 0.05
"""Seconds for which losses are gathered: an engine that refuses everything costs twenty notes a second."""


class Losses:
    """The groups of which publications may be lost, until all nodes are told.

    Args:
        loop: The event loop.
        notify: Sends a note to all nodes, this one too.
        otherwise: Called if there is no room for a note: has all nodes told that anything may be lost.
        mark: Has it written into a group's history, for nodes that miss the note and clients that resume.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[dict[str, Any]], object],
        otherwise: Callable[[], None],
        mark: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._notify = notify
        self._otherwise = otherwise
        self.mark = mark
        """Has a loss written into a group's history."""
        self._groups: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, groups: Iterable[str], *, at_once: bool = False) -> None:
        """Have it told that these groups may have lost something; `at_once` in the next turn of the loop."""
        self._groups.update(groups)
        if not self._groups:
            return
        if at_once:
            self.close()
        if self._timer is None:
            self._timer = self._loop.call_later(0 if at_once else _GATHER_SECONDS, self.tell)

    def tell(self) -> None:
        """Tell it now."""
        self.close()
        groups, self._groups = sorted(self._groups), set()
        if not groups:
            return
        for group in groups:
            self.mark(group)
        if len(groups) <= MOST_GROUPS and self._told(groups):
            return
        if not self._told([]):
            self._otherwise()

    def _told(self, groups: list[str]) -> bool:
        try:
            self._notify({"order": "lost", "groups": groups})
        except (BrokerUnavailableError, MessageTooBigError, ValueError):
            return False  # no room, too long, or names that are no text
        return True

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
