"""The broker over NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.broker.contract import no_history
from gateway.broker.linked import LinkedBroker
from gateway.broker.nats.link import NatsLink
from gateway.broker.nats.places import Places

if TYPE_CHECKING:
    from gateway.broker.contract import HistoryOf
    from gateway.config import NatsBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["NatsBroker"]


class NatsBroker(LinkedBroker):
    """A broker over NATS: a subject for each group. Claims and history need JetStream, nothing else does.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
        history_of: Gives how much history a group keeps.
    """

    def __init__(
        self, config: NatsBrokerConfig, node: str, log: Logger, history_of: HistoryOf = no_history
    ) -> None:
        places = Places()
        super().__init__(
            config,
            node,
            log,
            lambda url, receive: NatsLink(config, url, f"gateway {node}", receive, places),
            history_of,
        )
