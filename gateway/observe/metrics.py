"""Every figure that a node counts, in one place, as plain integers.

The way of a message adds to an attribute, which costs 20 ns; turning the figures into an exposition
format is the business of whoever reads them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.observe.tallies import GroupTally

if TYPE_CHECKING:
    from gateway.observe.histogram import Histogram

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
    groups: dict[str, GroupTally] = field(default_factory=dict)
    """Publications and deliveries by the group's pattern."""
    publications_repeated: int = 0
    """Publications of groups with history that came again, and were thrown away."""
    publication_holes: int = 0
    """Times that a publication of a group with history came without the one before it."""
    publication_gaps: int = 0
    """Times that members of a group with history were told that publications may be missing."""
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
    limits: Counter[str] = field(default_factory=Counter)
    """What limits turned away, by the limit: one of `gateway.observe.families.LIMITS`."""
    closes: Counter[int] = field(default_factory=Counter)
    """Ended connections by close code, as the handlers saw it."""
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Connections that end, by who closed and by close code, rare codes put together."""
    handler_failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Failed events by plugin, handler and kind: `error` or `timeout`."""
    checks_failed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Ways and admission hooks that failed by plugin, check and kind: `error` or `timeout`. The check is the
    way's name, or `gateway_admit`; the plugin is empty where it is a way of the gateway's own."""
    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Connections closed with 1013 in place of an event, by plugin and reason: `stopped`, or `events`, too
    many of which were under way."""
    tasks_left: Counter[str] = field(default_factory=Counter)
    """Tasks that outlived their connections, and events that went on when cancelled, by plugin."""
    blocks: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Times that the event loop stood still, by plugin, file and line of what held it up."""
    handler_seconds: dict[tuple[str, str, str], Histogram] = field(default_factory=dict)
    """How long events took, by plugin, handler and event: of messages a sample."""
    recoveries: Counter[str] = field(default_factory=Counter)
    """Clients that came back with a token, by outcome: `recovered`; `bad_token`, forged or ended;
    `other_groups`, one with no position for it; `not_kept` any more; `too_much` for a send queue;
    `unavailable`."""
    jwks_failures: Counter[str] = field(default_factory=Counter)
    """Fetches of keys that failed, by issuer."""
    overflows: Counter[str] = field(default_factory=Counter)
    """Full send queues by overflow policy."""
    certificate_reload_errors: int = 0
    """Files of certificates that had changed and did not load, so that the former stayed in use."""
    certificate_expires_at: dict[str, float] = field(default_factory=dict)
    """Ends of the listener's certificates by file, in seconds since the epoch: of each chain the first."""

    @property
    def publications(self) -> int:
        """Publications to groups that had a member here."""
        return sum(tally.publications for tally in self.groups.values())

    @property
    def deliveries(self) -> int:
        """Messages put into send queues by publications: one for each publication and member."""
        return sum(tally.deliveries for tally in self.groups.values())

    def group_tally(self, pattern: str) -> GroupTally:
        """Give where the groups of a pattern are counted; made at first use."""
        found = self.groups.get(pattern)
        if found is None:
            found = self.groups[pattern] = GroupTally()
        return found
