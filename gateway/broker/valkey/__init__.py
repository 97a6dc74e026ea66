"""The engine Valkey, or Redis."""

from __future__ import annotations

from gateway.broker.valkey.broker import ValkeyBroker

__all__ = ["ValkeyBroker"]
