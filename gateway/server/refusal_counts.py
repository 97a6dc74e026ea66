"""Refused opening handshakes, counted by reason and by the limit that was passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.observe.turned_away import count_limit

if TYPE_CHECKING:
    from gateway.observe.metrics import Metrics
    from gateway.protocol.refusals import Refused

__all__ = ["count_refusal"]


def count_refusal(metrics: Metrics, refused: Refused) -> None:
    """Count a refused opening handshake."""
    metrics.refusals[refused.refusal.error] += 1
    count_limit(metrics, refused)
