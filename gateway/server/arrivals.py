"""TCP connections whose next request is not decided yet: how many, from where, and for how long."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.protocol.refusals import refuse
from gateway.server.address import group_of, peer_address
from gateway.server.refusal_counts import count_refusal

if TYPE_CHECKING:
    from gateway.config.models import ListenConfig
    from gateway.core.node import Node
    from gateway.protocol.refusals import Refused
    from gateway.server.descriptors import Descriptors
    from gateway.server.front import FrontProtocol
    from gateway.server.proxies import TrustedProxies

__all__ = ["Arrivals"]

_LINGER_SECONDS: Final = 1.0
_TELLING_SECONDS: Final = 1.0
# Each takes up to 80 µs, and many that came together end together: everybody else would wait for all.
_ENDS_AT_ONCE: Final = 2


class Arrivals:
    """The fronts of a listener, each under one deadline that spans TLS, the header and the checks.

    Args:
        node: Whose deadlines, figures and log are used.
        listen: The listener's limits.
        proxies: Peers that are not counted by address, since they come for many.
        descriptors: What keeps the last descriptors; `None` for a listener that may have them.
    """

    __slots__ = (
        "_descriptors",
        "_ending",
        "_fronts",
        "_groups",
        "_late",
        "_lingering",
        "_listen",
        "_node",
        "_proxies",
        "_telling_since",
        "_turned_away",
        "_under_way",
    )

    def __init__(
        self, node: Node, listen: ListenConfig, proxies: TrustedProxies, descriptors: Descriptors | None
    ) -> None:
        self._node = node
        self._descriptors = descriptors
        self._listen = listen
        self._proxies = proxies
        self._fronts: set[FrontProtocol] = set()
        self._under_way = node.deadlines(listen.opening_timeout_seconds, self._expire)
        self._lingering = node.deadlines(_LINGER_SECONDS, self._expire)
        self._late: dict[FrontProtocol, None] = {}
        self._ending = False
        self._groups: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()
        self._telling_since = -_TELLING_SECONDS

    @property
    def under_way(self) -> int:
        """How many TCP connections have a request that is not decided."""
        return len(self._under_way)

    def begin(self, front: FrontProtocol) -> None:
        """Start the deadline of a TCP connection's next request."""
        self._fronts.add(front)
        self._under_way.begin(front)

    def judge(self, front: FrontProtocol) -> None:
        """Judge whether there is room for another request that begins, of which nothing is known yet.

        Raises:
            Refused: `too_many_handshakes`; `too_many_requests` if they are one peer's; `too_many_connections`
                if there is no descriptor for clients.
        """
        if self._descriptors is not None:
            self._descriptors.judge()
        listen = self._listen
        if len(self._under_way) > listen.max_handshakes:
            detail = f"under way, limit {listen.max_handshakes}"
            raise refuse("too_many_handshakes", detail, limit="max_handshakes")
        limit = listen.max_handshakes_per_address
        if not limit:
            return
        peer = peer_address(front.transport)
        if not self._proxies.trusts(peer):
            group = group_of(peer)
            if self._groups[group] >= limit:
                detail = f"under way from {group}, limit {limit}"
                raise refuse("too_many_requests", detail, limit="max_handshakes_per_address")
            self._groups[group] += 1
            front.group = group

    def turn_away(self, front: FrontProtocol, refused: Refused) -> None:
        """Count a TCP connection of which nothing is read; log it with others of its second."""
        self.end(front)
        error = refused.refusal.error
        count_refusal(self._node.metrics, refused)
        self._turned_away[error] += 1
        now = self._node.loop.time()
        if now >= self._telling_since + _TELLING_SECONDS:
            self._telling_since = now
            self._node.log.warning("openings_turned_away", logger="gateway.openings", **self._turned_away)
            self._turned_away.clear()

    def linger(self, front: FrontProtocol) -> None:
        """Give a refused peer a moment to end TCP itself."""
        self._leave(front)
        self._lingering.begin(front)

    def end(self, front: FrontProtocol) -> None:
        """End the deadline: the request is decided."""
        self._fronts.discard(front)
        self._leave(front)
        self._lingering.end(front)

    def _leave(self, front: FrontProtocol) -> None:
        self._under_way.end(front)
        self._late.pop(front, None)
        group, front.group = front.group, ""
        if group:
            self._groups[group] -= 1
            if not self._groups[group]:
                del self._groups[group]

    def stop(self) -> None:
        """End every TCP connection whose next request is not decided."""
        for front in tuple(self._fronts):
            front.stop()

    def _expire(self, front: FrontProtocol) -> None:
        self._late[front] = None
        if not self._ending:
            self._ending = True
            self._node.loop.call_soon(self._end_some)

    def _end_some(self) -> None:
        """End a few of those whose time is over, and the others in the next turns of the loop."""
        for front in tuple(islice(self._late, _ENDS_AT_ONCE)):
            self._late.pop(front, None)
            front.expire()
        self._ending = bool(self._late)
        if self._ending:
            self._node.loop.call_soon(self._end_some)
