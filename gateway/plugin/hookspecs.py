"""Every hook of the gateway. None of them lies on the way of a message: they run at start and at opening.

A plugin implements any of them with `@gateway.hookimpl`, with the same parameter names or fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.plugin.marker import hookspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sanic import Blueprint

    from gateway.core.node import Node
    from gateway.core.opening import Opening
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.broker import PluginBroker
    from gateway.plugin.handler import Handler, Options
    from gateway.protocol.refusals import Refusal

__all__ = [
    "gateway_admit",
    "gateway_authenticators",
    "gateway_blueprints",
    "gateway_brokers",
    "gateway_configure",
    "gateway_handlers",
    "gateway_options",
    "gateway_start",
    "gateway_stop",
]


@hookspec
def gateway_handlers() -> Mapping[str, type[Handler[Any]]]:  # type: ignore[empty-body]
    """Name the plugin's handlers: the name that a route writes, and the class.

    Called when the configuration is checked. A name that two plugins give refuses to start.
    """


@hookspec
def gateway_authenticators() -> Mapping[str, type[Authenticator[Any]]]:  # type: ignore[empty-body]
    """Name the plugin's ways to authenticate, which routes list under `authenticate`.

    Called when the configuration is checked. A name that two plugins give refuses to start.
    """


@hookspec
def gateway_brokers() -> Mapping[str, type[PluginBroker[Any]]]:  # type: ignore[empty-body]
    """Name the plugin's brokers, which gateway.yaml chooses by `broker: type`.

    Called when the configuration is checked. A name that two plugins give, or that the gateway itself has,
    refuses to start.
    """


@hookspec
def gateway_options() -> type[Options]:  # type: ignore[empty-body]
    """Give the model of what stands under `plugins: <name>: options`.

    Called when the configuration is checked; a plugin without this hook takes no options.
    """


@hookspec
def gateway_configure(options: Options) -> None:
    """Take the plugin's validated options, and begin nothing yet.

    Called once, at start, after those above; and by `gateway check`.
    """


@hookspec
def gateway_blueprints(node: Node) -> Sequence[Blueprint]:  # type: ignore[empty-body]
    """Give Sanic blueprints for plain HTTP.

    Called once, at start; and by `gateway check`, with a node that is never started, for their paths.
    """


@hookspec
def gateway_start(node: Node) -> Any:
    """Begin the plugin's own work; may be `async`. Called once, before the first connection."""


@hookspec
def gateway_stop(node: Node) -> Any:
    """End the plugin's own work; may be `async`. Called once, after the last connection."""


@hookspec
def gateway_admit(opening: Opening) -> Refusal | None:
    """Have the last word on an opening handshake that has passed all other checks; may be `async`.

    Called for each one, so it should be quick. Return `None` to let it pass, or a `Refusal`. If it
    raises, the client gets a 500 and no connection; if it takes longer than
    `opening_timeout_seconds`, a 503.
    """
