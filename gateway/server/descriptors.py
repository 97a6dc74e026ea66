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
_ONE_IN: Final = 8
_FEW: Final = 64
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

    __slots__ = ("_for_clients", "_look_at", "_node", "_told_at", "_unjudged")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._for_clients = 0.0
        self._unjudged = _ONE_IN
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

    def judge(self) -> None:
        """Judge whether clients have begun to take the descriptors that are kept.

        The system gives the lowest number that is free: so the next one tells that all below are taken, the
        last of them by who is judged.

        Raises:
            Refused: `too_many_connections` if they have.
        """
        # To find out costs two system calls, and to ask the transport for its number 80 bytes besides: so one
        # in eight is judged, and each where few numbers are left.
        self._unjudged += 1
        if self._unjudged < _ONE_IN:
            return
        lowest = self._lowest()
        if lowest <= self._for_clients:
            if lowest < self._for_clients - _FEW:
                self._unjudged = 0
            return
        limit = self._read_limit()  # an operator may have raised it
        if self._lowest() > self._for_clients:
            self._tell()
            raise refuse("too_many_connections", f"{limit:.0f} descriptors", limit="open_files")

    def _lowest(self) -> float:
        """Give the lowest number that is free; endless if there is none."""
        try:
            number = os.dup(0)
        except OSError as exc:
            if exc.errno == errno.EMFILE:
                return float("inf")
            return 0  # as where there is no standard input: nothing can be told
        os.close(number)
        return number

    def _read_limit(self) -> float:
        limit = _limit()
        self._for_clients = limit - min(limit / _SHARE, _MOST_KEPT)
        return limit

    def _look(self) -> None:
        self.start()
        self._read_limit()
        if self._lowest() == float("inf"):
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
