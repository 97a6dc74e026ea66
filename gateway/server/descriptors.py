"""The descriptors that this process may open: the last ones are not for clients."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    import asyncio

    from gateway.core.node import Node

__all__ = ["Descriptors"]

_SHARE: Final = 16
_MOST_KEPT: Final = 32
_LOOK_SECONDS: Final = 1.0
_TELLING_SECONDS: Final = 10.0


class Descriptors:
    """What keeps clients from taking the last descriptors, and tells when there are none.

    One sixteenth of them, at most 32, is kept for what the gateway opens itself: the way back to its
    broker, certificates, operators' requests. Where plugins take those too, libuv accepts newcomers and
    closes them at once, and tells nobody: so it is looked once a second whether one can be had.

    Args:
        node: Whose figures, log and event loop are used.
    """

    __slots__ = ("_for_clients", "_look_at", "_node", "_told_at")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._for_clients = 0.0
        self._look_at: asyncio.TimerHandle | None = None
        self._told_at = -_TELLING_SECONDS

    def start(self) -> None:
        """Look from now on, once a second."""
        self._look_at = self._node.loop.call_later(_LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._look_at is not None:
            self._look_at.cancel()
            self._look_at = None

    def judge(self, transport: asyncio.Transport) -> None:
        """Judge whether a TCP connection has taken a descriptor that is kept.

        The system gives the lowest number that is free: so its own tells that all below are taken.

        Raises:
            Refused: `too_many_connections` if it has.
        """
        taken = transport.get_extra_info("socket")
        if taken is None or taken.fileno() < self._for_clients:
            return
        limit = self._read_limit()  # an operator may have raised it
        if taken.fileno() >= self._for_clients:
            self._tell()
            raise refuse("too_many_connections", f"{limit:.0f} descriptors", limit="open_files")

    def _read_limit(self) -> float:
        limit = _limit()
        self._for_clients = limit - min(limit / _SHARE, _MOST_KEPT)
        return limit

    def _look(self) -> None:
        self.start()
        self._read_limit()
        try:
            os.close(os.dup(0))
        except OSError as exc:
            if exc.errno == errno.EMFILE:
                self._node.metrics.limits["open_files"] += 1
                self._tell()

    def _tell(self) -> None:
        now = self._node.loop.time()
        if now >= self._told_at + _TELLING_SECONDS:
            self._told_at = now
            self._node.log.error(
                "out_of_descriptors",
                logger="gateway.openings",
                limit=_limit(),
                connections=len(self._node.hub),
            )


def _limit() -> float:
    """Give how many descriptors this process may have open."""
    try:
        import resource  # noqa: PLC0415 - not there on Windows
    except ImportError:
        return float("inf")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else limit
