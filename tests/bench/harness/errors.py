"""The one error that ends a run, and the one that only leaves a peer out of it."""

from __future__ import annotations


class BenchError(Exception):
    """A server or the load client did not do what the benchmark needs; the text says which and what."""


class PeerMissing(BenchError):
    """A peer cannot be had on this machine; the text says why in one line."""
