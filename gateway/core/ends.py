"""How connections end: who closed and why, for the figures and for one log line each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.observe.families import OTHER
from gateway.protocol.close_codes import CLOSE_CODES, CloseCode

if TYPE_CHECKING:
    from gateway.core.connection import Connection
    from gateway.core.node import Node

__all__ = ["CLIENT", "GATEWAY", "HANDLER", "NETWORK", "Ends"]

CLIENT: Final = "client"
"""Its close frame came first."""
HANDLER: Final = "handler"
"""A plugin has called `close`."""
GATEWAY: Final = "gateway"
"""The gateway itself: a limit, a drain, an end of the identity, an operator's call."""
NETWORK: Final = "network"
"""TCP ended without a closing handshake."""

# Of what a client or a plugin may put on the wire, nobody knows how many there are.
_KNOWN: Final = frozenset({*CLOSE_CODES, CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE})
_PRIVATE: Final = 4000
_REGISTERED: Final = 3000


def code_label(code: int) -> str:
    """Give a close code as a label: those without a row in the table are put together by thousands."""
    if code in _KNOWN:
        return str(int(code))
    return "4xxx" if code >= _PRIVATE else "3xxx" if code >= _REGISTERED else OTHER


class _End(NamedTuple):
    by: str
    code: int
    reason: str


class Ends:
    """The ends of a node's connections.

    Who closed, with which code and why, is kept from the first step of an end until TCP is gone.

    Args:
        node: The node.
    """

    __slots__ = ("_begun", "_log", "_node", "_tells")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._begun: dict[Connection, _End] = {}
        self._log = node.log.bind(logger="gateway.connections")
        self._tells = self._log.is_enabled_for(logging.INFO)

    def begin(self, connection: Connection, by: str, code: int, reason: str) -> None:
        """Note who begins the end of a connection; only the first word counts."""
        if connection not in self._begun:
            self._begun[connection] = _End(by, code, reason)
            if not connection.apart:
                self._node.metrics.ends[by, code_label(code)] += 1

    def end(self, connection: Connection) -> None:
        """Tell that a connection's TCP is gone."""
        end = self._begun.pop(connection, None)
        if end is None or not self._tells:
            return
        node = self._node
        tally = connection.tally
        reason = end.reason
        self._log.info(
            "connection_closed",
            connection=connection.id,
            route=connection.route,
            user=connection.user,
            remote=connection.remote,
            by=end.by,
            code=int(end.code),
            # A client's words could be control sequences of a terminal.
            reason=reason if reason.isprintable() else ascii(reason),
            seconds=round(node.now() - connection.opened_at, 3),
            messages_in=tally.messages_in,
            messages_out=tally.messages_out,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
        )
