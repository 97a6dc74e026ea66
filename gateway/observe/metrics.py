"""Every figure that a node counts, in one place, as plain integers.

The way of a message adds to an attribute, which costs 20 ns; turning the figures into an exposition
format is the business of whoever reads them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Metrics"]


@dataclass(slots=True)
class Metrics:
    """The figures of one node. All but `connections` and the ends only grow, from 0 at the node's start."""

    connections: int = 0
    """Connections that are open now."""
    connections_opened: int = 0
    """Opening handshakes that ended in a connection."""
    messages_in: int = 0
    """Messages that were handed to the handlers of their route."""
    messages_out: int = 0
    """Messages put into send queues, by `send` and by publications; those dropped later are among them."""
    bytes_in: int = 0
    """Bytes read from connections' sockets, after their opening handshakes and before TLS."""
    bytes_out: int = 0
    """Bytes written to connections' sockets, the answers to opening handshakes included, before TLS."""
    publications: int = 0
    """Publications to groups that had a member here."""
    deliveries: int = 0
    """Messages put into send queues by publications: one for each publication and member."""
    broker_gaps: int = 0
    """Times that publications of other nodes may have been missed; the broker's status has the rest."""
    messages_dropped: int = 0
    """Frames that were thrown away at full send queues."""
    handler_errors: int = 0
    """Events that raised, and background calls and tasks of connections that did."""
    handler_timeouts: int = 0
    """Events that waited longer than their route's `handler_timeout_seconds`."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Refused opening handshakes by the refusal's `error`."""
    closes: Counter[int] = field(default_factory=Counter)
    """Ended connections by close code, as the handlers saw it."""
    overflows: Counter[str] = field(default_factory=Counter)
    """Full send queues by overflow policy."""
    certificate_reload_errors: int = 0
    """Files of certificates that had changed and did not load, so that the former stayed in use."""
    certificate_expires_at: dict[str, float] = field(default_factory=dict)
    """Ends of the listener's certificates by file, in seconds since the epoch: of each chain the first."""
