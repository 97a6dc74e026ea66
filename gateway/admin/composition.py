"""Readings of what this gateway is made of: plugins, routes, configuration."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.admin.answers import ConfigurationAnswer, NodeEntry, PluginsAnswer, RoutesAnswer
from gateway.admin.everywhere import entries
from gateway.admin.query import Query

if TYPE_CHECKING:
    from gateway.admin.inside import Inside

__all__ = ["ConfigurationQuery", "PluginsQuery", "RoutesQuery"]


class PluginsQuery(Query):
    """The query of `GET /api/plugins`: nothing."""

    answers = PluginsAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List the plugins."""
        return {"plugins": list(inside.plugins), "disabled": list(inside.disabled)}


class RoutesQuery(Query):
    """The query of `GET /api/routes`: nothing."""

    answers = RoutesAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List the routes, with how many connections they have over all nodes."""
        found = await inside.node.inquiries.ask("node", {})
        counts: Counter[str] = Counter()
        for node in entries(found, NodeEntry):
            counts.update(node.routes)
        routes = [
            {
                "name": route.name,
                "path": route.path,
                "handlers": [use.name for use in route.handlers],
                "allowed_origins": None if route.allowed_origins is None else list(route.allowed_origins),
                "allow_missing_origin": route.allow_missing_origin,
                "authenticate": list(route.authenticate),
                "subprotocols": list(route.subprotocols),
                "groups": list(route.groups),
                "envelope": route.envelope,
                "max_connections": route.max_connections,
                "connections": counts[str(route.name)],
            }
            for route in inside.routes
        ]
        return {"routes": routes, "silent": found.silent, "complete": found.complete}


class ConfigurationQuery(Query):
    """The query of `GET /api/configuration`: nothing."""

    answers = ConfigurationAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Tell what holds in the end, and where it comes from."""
        return dict(inside.configuration())
