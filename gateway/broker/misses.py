"""Tells this node of what other nodes have sent and it has not got, though every link was good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.broker.other_nodes import OtherNodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.broker.contract import BrokerStatus
    from gateway.broker.wire import Notice
    from gateway.config import LinkedBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["Misses"]


class Misses:
    """The nodes of which something is missing, until it is told as a gap.

    They are gathered for the time of one beat: where a cut between servers of the engine has been mended,
    the nodes behind it are heard again within that, and members are told once.

    Args:
        config: The settings.
        status: Where it is told since when something may be missing.
        tell: Tells the node of a gap.
        log: Where log lines go.
    """

    def __init__(
        self, config: LinkedBrokerConfig, status: BrokerStatus, tell: Callable[[], None], log: Logger
    ) -> None:
        self._status = status
        self._tell = tell
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._gather_seconds = config.probe_interval_seconds
        self._others = OtherNodes(2 * config.probe_interval_seconds + config.probe_timeout_seconds)
        self._missed: dict[str, float] = {}
        self._late: dict[str, tuple[int, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin_link(self) -> None:
        """Take notice of a new link of this node, about to be subscribed to; a gap is told for it."""
        self._others.begin_link(self._loop.time())

    def is_late(self, node: str, link: int) -> bool:
        """Tell whether publications came through a link of a node after what came through the next one.

        They are thrown away, and told as a gap, unless their node does it.
        """
        if not self._others.is_late(node, link):
            return False
        if not self._others.is_told(node, link):
            self._late[node] = (link, self._loop.time())
            self._start()
        return True

    def hear(self, notice: Notice) -> None:
        """Take notice of what another node tells to all, and of what must have been lost before it."""
        since = self._others.hear(notice, self._loop.time())
        if since is not None:
            self._missed[notice.node] = min(since, self._missed.get(notice.node, since))
            self._start()

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._gather_seconds, self._end)

    def _end(self) -> None:
        self._timer = None
        if not self._status.connected:
            self._start()  # those who mend what is missing need a link
            return
        missed = dict(self._missed)
        for node, (link, at) in self._late.items():
            if not self._others.is_told(node, link):
                missed.setdefault(node, at)
        self._missed.clear()
        self._late.clear()
        if missed:
            since = min(missed.values())
            self._log.warning(
                "broker_nodes_missed", nodes=len(missed), seconds=round(self._loop.time() - since, 3)
            )
            self._status.blind_since = since
            self._tell()

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
