"""What the HTTP API may look into, of a prepared configuration that serves."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gateway
from gateway.admin.inside import Inside
from gateway.app.effective import as_data, effective
from gateway.plugin.manager import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.app.policies import Policies
    from gateway.app.prepare import Prepared
    from gateway.core.node import Node
    from gateway.plugin.manager import PluginManager

__all__ = ["look_inside"]


def look_inside(prepared: Prepared, node: Node, policies: Policies) -> Inside:
    """Make what the readings look into.

    Args:
        prepared: The configuration, and its plugins.
        node: The node that serves it.
        policies: Its policies of groups.
    """

    @lru_cache(1)
    def configuration() -> dict[str, Any]:
        loaded = prepared.loaded
        return (
            {"config": {}, "origins": {}} if loaded is None else as_data(effective(loaded, prepared.plugins))
        )

    return Inside(
        node,
        prepared.config.routes,
        policies.of,
        tuple(_plugins(prepared.plugins)),
        tuple(name for name, plugin in prepared.config.plugins.items() if not plugin.enabled),
        configuration,
    )


def _plugins(manager: PluginManager) -> Iterator[dict[str, Any]]:
    handlers = manager.handlers()
    ways = manager.authenticators()
    for plugin in manager.plugins:
        yield {
            "name": plugin.name,
            "distribution": None if plugin.distribution == BUILT_IN else plugin.distribution,
            "version": plugin.version or gateway.__version__,
            "handlers": [name for name, (owner, _) in handlers.items() if owner is plugin],
            "ways": [name for name, (owner, _) in ways.items() if owner is plugin],
        }
