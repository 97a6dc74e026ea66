"""The broker over Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.linked import LinkedBroker
from gateway.broker.valkey.link import ValkeyLink

if TYPE_CHECKING:
    from gateway.config import ValkeyBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["ValkeyBroker"]


class ValkeyBroker(LinkedBroker):
    """A broker over Valkey: a channel for each group.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
    """

    def __init__(self, config: ValkeyBrokerConfig, node: str, log: Logger) -> None:
        super().__init__(config, node, log, lambda url, receive: ValkeyLink(config, url, receive))
