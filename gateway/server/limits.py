"""Limits on who may open a connection: how many from where and of whom, and how fast."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, TypeAlias

from gateway.protocol.refusals import refuse
from gateway.server.address import group_of
from gateway.server.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.models import ListenConfig
    from gateway.core.connection import Connection
    from gateway.core.identity import Identity
    from gateway.core.route import Route

__all__ = ["Admissions", "Kind"]

Kind: TypeAlias = Literal["address", "user", "route"]
Key: TypeAlias = tuple[Kind, str]

_ALL = ""


def _none_elsewhere(key: Key) -> int:
    del key
    return 0


def _tell_nobody(key: Key) -> None:
    del key


class Admissions:
    """What the limits on connections and opening handshakes say, and the counts they rest on.

    A connection is counted when it is made, in the same turn of the loop in which it is judged the last
    time, so that of many handshakes whose checks wait together no more come in than there is room for, and
    one that ends on its way has nothing to give back.

    Args:
        listen: The limits of the node.
        others: How many connections other nodes have of an address, a user or a route. Default: none.
        changed: Told of every count that changes. Default: nobody is.
        counts: Where this node's counts are kept; `None` makes a table of its own.
        clock: A monotonic clock in seconds.
    """

    __slots__ = (
        "_address_rates",
        "_changed",
        "_clock",
        "_counts",
        "_held",
        "_others",
        "_per_address",
        "_per_user",
        "_rates",
    )

    def __init__(
        self,
        listen: ListenConfig,
        *,
        others: Callable[[Key], int] = _none_elsewhere,
        changed: Callable[[Key], None] = _tell_nobody,
        counts: Counter[Key] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address = listen.max_connections_per_address
        self._per_user = listen.max_connections_per_user
        self._others = others
        self._changed = changed
        self._clock = clock
        self._counts = Counter() if counts is None else counts
        self._held: dict[Connection, tuple[Key, ...]] = {}
        self._rates: Rates | None = None
        if listen.handshakes_per_second:
            self._rates = Rates(listen.handshakes_per_second, listen.handshake_burst)
        self._address_rates: Rates | None = None
        if listen.handshakes_per_second_per_address:
            self._address_rates = Rates(
                listen.handshakes_per_second_per_address, listen.handshake_burst_per_address
            )

    def count(self, kind: Kind, name: str) -> int:
        """Give how many connections of this node are counted for an address, a user or a route."""
        return self._counts[kind, name]

    def knock(self, remote: str) -> None:
        """Take an opening handshake from the rates.

        Raises:
            Refused: `too_many_requests` for the client's own rate, `too_many_handshakes` for that of all.
        """
        if self._address_rates is None and self._rates is None:
            return
        now = self._clock()
        client = group_of(remote)
        # A token is taken from both or from none.
        if self._address_rates is not None and (wait := self._address_rates.wait(client, now)):
            raise refuse("too_many_requests", f"from {client}", retry_after=wait)
        if self._rates is not None:
            if wait := self._rates.wait(_ALL, now):
                raise refuse("too_many_handshakes", "rate of all clients", retry_after=wait)
            self._rates.take(_ALL, now)
        if self._address_rates is not None:
            self._address_rates.take(client, now)

    def check(self, remote: str, route: Route, identity: Identity | None = None) -> None:
        """Judge by the counts whether there is room for another connection.

        Args:
            remote: The client's address.
            route: The route that it opens.
            identity: Who it proved to be; `None` where that is not known yet, or never.

        Raises:
            Refused: `too_many_connections_on_route`, `too_many_connections_from_address` or
                `too_many_connections_of_user`.
        """
        of_route = route.config.max_connections
        if of_route and self._number("route", route.name) >= of_route:
            raise refuse("too_many_connections_on_route", f"limit {of_route}")
        if self._per_address and self._number("address", client := group_of(remote)) >= self._per_address:
            raise refuse("too_many_connections_from_address", f"from {client}, limit {self._per_address}")
        if self._per_user and identity is not None and self._number("user", identity.user) >= self._per_user:
            raise refuse("too_many_connections_of_user", f"limit {self._per_user}")

    def _number(self, kind: Kind, name: str) -> int:
        return self._counts[kind, name] + self._others((kind, name))

    def admit(self, connection: Connection, route: Route) -> None:
        """Count a connection, until it is released."""
        held: list[Key] = []
        if route.config.max_connections:
            held.append(("route", route.name))
        if self._per_address:
            held.append(("address", group_of(connection.remote)))
        if self._per_user and connection.identity is not None:
            held.append(("user", connection.identity.user))
        if held:
            # By what it counts is kept, since an identity may be renewed meanwhile.
            self._held[connection] = tuple(held)
            self._counts.update(held)
            for key in held:
                self._changed(key)

    def release(self, connection: Connection) -> None:
        """Count a connection no more; nothing changes if it is not counted."""
        for key in self._held.pop(connection, ()):
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
            self._changed(key)
