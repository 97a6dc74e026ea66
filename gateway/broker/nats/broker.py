"""The broker over NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.linked import LinkedBroker
from gateway.broker.nats.link import NatsLink

if TYPE_CHECKING:
    from gateway.config import NatsBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["NatsBroker"]


class NatsBroker(LinkedBroker):
    """A broker over NATS: a subject for each group. Claims need JetStream, nothing else does.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
    """

    def __init__(self, config: NatsBrokerConfig, node: str, log: Logger) -> None:
        super().__init__(
            config, node, log, lambda url, receive: NatsLink(config, url, f"gateway {node}", receive)
        )
