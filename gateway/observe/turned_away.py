"""What a refusal says of the limit that was passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.observe.metrics import Metrics
    from gateway.protocol.refusals import Refused

__all__ = ["count_limit"]

# The errors that stand for limits, where the refusal itself does not name one.
_LIMIT_OF: Final = {
    "too_many_connections": "max_connections",
    "too_many_connections_on_route": "max_connections_of_route",
    "too_many_connections_from_address": "max_connections_per_address",
    "too_many_connections_of_user": "max_connections_per_user",
    "too_many_handshakes": "handshakes_per_second",
    "too_many_requests": "handshakes_per_second_per_address",
    "timeout": "opening_timeout_seconds",
    "check_timeout": "opening_timeout_seconds",
    "headers_too_large": "max_header_bytes",
}


def count_limit(metrics: Metrics, refused: Refused) -> None:
    """Count the limit that a refused request has passed, if it has passed one: of clients or of the API."""
    limit = refused.limit or _LIMIT_OF.get(refused.refusal.error)
    if limit is not None:
        metrics.limits[limit] += 1
