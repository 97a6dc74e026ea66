"""From the configuration's word to a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.memory import MemoryBroker
from gateway.config import NatsBrokerConfig, PluginBrokerConfig, ValkeyBrokerConfig

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker, HistoryOf
    from gateway.observe.logs import Logger

__all__ = ["make_broker"]


def make_broker(prepared: Prepared, node: str, log: Logger, history_of: HistoryOf) -> Broker:
    """Make the broker that the configuration names; it is not started.

    Args:
        prepared: The judged configuration.
        node: The node's name; no other node has it.
        log: Where log lines go.
        history_of: Gives how much history a group keeps.

    Raises:
        Exception: Whatever a plugin's broker raises when it is made.
    """
    config = prepared.config.broker
    log = log.bind(logger="gateway.broker")
    # An engine's client takes a tenth of a second to import: a start without it does without.
    if isinstance(config, NatsBrokerConfig):
        from gateway.broker.nats import NatsBroker  # noqa: PLC0415 - as said above

        return NatsBroker(config, node, log, history_of)
    if isinstance(config, ValkeyBrokerConfig):
        from gateway.broker.valkey import ValkeyBroker  # noqa: PLC0415 - as said above

        return ValkeyBroker(config, node, log, history_of)
    if isinstance(config, PluginBrokerConfig):
        assert prepared.broker is not None  # noqa: S101 - it has passed every check
        cls, options = prepared.broker
        made = cls(options, node, log)
        made.history_of = history_of
        return made
    return MemoryBroker(history_of, config.idempotency_seconds)
