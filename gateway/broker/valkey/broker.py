"""The broker over Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.contract import no_history
from gateway.broker.linked import LinkedBroker
from gateway.broker.valkey.former import FormerLinks
from gateway.broker.valkey.link import ValkeyLink

if TYPE_CHECKING:
    from gateway.broker.contract import HistoryOf
    from gateway.config import ValkeyBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["ValkeyBroker"]


class ValkeyBroker(LinkedBroker):
    """A broker over Valkey: a channel for each group, and a stream for each that keeps history.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
        history_of: Gives how much history a group keeps.
    """

    def __init__(
        self, config: ValkeyBrokerConfig, node: str, log: Logger, history_of: HistoryOf = no_history
    ) -> None:
        former = FormerLinks()
        super().__init__(
            config, node, log, lambda url, receive: ValkeyLink(config, url, receive, former), history_of
        )
