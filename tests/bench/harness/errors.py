"""The one error that ends a run."""

from __future__ import annotations


class BenchError(Exception):
    """A server or the load client did not do what the benchmark needs; the text says which and what."""
