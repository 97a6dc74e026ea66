"""From the configuration's word to a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.memory import MemoryBroker
from gateway.broker.nats import NatsBroker
from gateway.broker.valkey import ValkeyBroker
from gateway.config import NatsBrokerConfig, PluginBrokerConfig, ValkeyBrokerConfig

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker
    from gateway.observe.logs import Logger

__all__ = ["make_broker"]


def make_broker(prepared: Prepared, node: str, log: Logger) -> Broker:
    """Make the broker that the configuration names; it is not started.

    Args:
        prepared: The judged configuration.
        node: The node's name; no other node has it.
        log: Where log lines go.

    Raises:
        Exception: Whatever a plugin's broker raises when it is made.
    """
    config = prepared.config.broker
    if isinstance(config, NatsBrokerConfig):
        return NatsBroker(config, node, log)
    if isinstance(config, ValkeyBrokerConfig):
        return ValkeyBroker(config, node, log)
    if isinstance(config, PluginBrokerConfig):
        assert prepared.broker is not None  # noqa: S101 - it has passed every check
        cls, options = prepared.broker
        return cls(options, node, log)
    return MemoryBroker()
