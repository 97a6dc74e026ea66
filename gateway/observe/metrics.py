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
    """The figures of one node since its start; `connections` is the number open now."""

    connections: int = 0
    connections_opened: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    publications: int = 0
    deliveries: int = 0
    messages_dropped: int = 0
    handler_errors: int = 0
    handler_timeouts: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Refused opening handshakes by the refusal's `error`."""
    closes: Counter[int] = field(default_factory=Counter)
    """Ended connections by close code, as the handlers saw it."""
    overflows: Counter[str] = field(default_factory=Counter)
    """Full send queues by overflow policy."""
