"""The engine NATS."""

from __future__ import annotations

from gateway.broker.nats.broker import NatsBroker

__all__ = ["NatsBroker"]
