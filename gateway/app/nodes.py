"""From the configuration to a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.app.brokers import make_broker
from gateway.app.parts import PartStartError
from gateway.app.resume_key import resume_key
from gateway.broker.contract import no_history
from gateway.config import LinkedBrokerConfig, PluginBrokerConfig
from gateway.core.node import Node
from gateway.core.presence import no_presence
from gateway.core.resume import ResumeTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.app.policies import Policies
    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker
    from gateway.core.clock import Clock
    from gateway.observe.logs import Logger

__all__ = ["make_node"]


def make_node(
    prepared: Prepared,
    name: str,
    log: Logger,
    policies: Policies,
    *,
    clock: Clock | None,
    around_broker: Callable[[Broker], Broker],
) -> tuple[Node, str]:
    """Make the node that the configuration describes; it is not started.

    Args:
        prepared: The judged configuration.
        name: Its name; no other node has it.
        log: Where log lines go.
        policies: The policies of groups.
        clock: What time it is for handlers; `None` for the system's clock.
        around_broker: Gives what the node has for its broker.

    Returns:
        The node, and the secret of its resume tokens, of which others may be derived.

    Raises:
        PartStartError: If the broker cannot be made.
        ResumeKeyError: If there is no key of resume tokens.
    """
    config = prepared.config
    history_of = policies.history if policies.any_history else no_history
    try:
        broker = around_broker(make_broker(prepared, name, log, history_of))
    except Exception as exc:
        raise PartStartError(f"broker {config.broker.type!r}", exc) from exc
    node = Node(
        broker,
        log,
        policy=policies.overflow,
        name=name,
        clock=clock,
        history_of=history_of,
        presence_of=policies.presence if policies.any_presence else no_presence,
    )
    key = resume_key(config)
    node.resuming.tokens = ResumeTokens(key.encode(), config.resume.seconds, node.now)
    if not isinstance(config.broker, PluginBrokerConfig):
        node.idempotency_seconds = config.broker.idempotency_seconds
    node.needs_broker = isinstance(config.broker, LinkedBrokerConfig) and config.broker.required
    return node, key
