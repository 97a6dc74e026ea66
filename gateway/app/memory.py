"""The garbage collector, set for a process with many long-lived objects."""

from __future__ import annotations

import gc

__all__ = ["tune_garbage_collection"]

# A connection leaves a dozen objects that the collector counts, none of them in cycles while it lives. With
# Python's own thresholds (700, 10, 10) it walks the young ones every 60 opening handshakes.
_THRESHOLDS = (50_000, 20, 50)


def tune_garbage_collection() -> None:
    """Leave what the start has made out of every later collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
