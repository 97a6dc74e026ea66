"""From an entry of `routes` to a route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.dispatch import Dispatch
from gateway.core.route import Route
from gateway.protocol.origin import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.app.parts import Parts
    from gateway.app.prepare import HandlerChoice
    from gateway.config import RouteConfig
    from gateway.core.node import Node
    from gateway.core.tap import Tap
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.handler import Handler

__all__ = ["make_route"]


async def make_route(
    config: RouteConfig,
    choices: Iterable[HandlerChoice],
    node: Node,
    parts: Parts,
    ways: Mapping[str, Authenticator[Any]],
    tap: Tap | None,
) -> Route:
    """Make a route, with handlers of its own that have started.

    Args:
        config: The route's entry in gateway.yaml.
        choices: The handlers that it names, in order.
        node: The node that serves it.
        parts: What starts its handlers, and will stop them.
        ways: The ways to authenticate that have started, by their names.
        tap: Shows its messages; `None` unless somebody develops.

    Raises:
        PartStartError: If a handler fails at its start.
    """
    handlers: list[tuple[str, Handler[Any]]] = []
    plugins: dict[str, str] = {}
    for choice in choices:
        what = f"handler {choice.name!r} of route {config.name!r}"
        handler = await parts.begin(
            what, choice.handler, choice.options, plugin=choice.plugin, name=choice.name
        )
        handlers.append((choice.name, handler))
        plugins[choice.name] = choice.plugin
    origins = OriginPolicy.from_config(config.allowed_origins, missing=config.allow_missing_origin)
    named = tuple((name, ways[name]) for name in config.authenticate)
    guards = {name: node.guards.of(plugin) for name, plugin in plugins.items()}
    dispatch = Dispatch(handlers, plugins, guards=guards, owners=node.guards.owners)
    return Route(config, dispatch, origins, named, node.log, tap=tap)
