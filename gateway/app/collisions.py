"""Paths that a route and plain HTTP both claim: the gateway's own, and those of plugins' blueprints."""

from __future__ import annotations

import asyncio
import io
import secrets
from typing import TYPE_CHECKING, Any

from sanic import Sanic

from gateway.admin.health import health_blueprint
from gateway.app.overlaps import shape_of_segments
from gateway.broker.memory import MemoryBroker
from gateway.core.node import Node
from gateway.observe.logs import make_logger
from gateway.plugin.judging import one_line
from gateway.plugin.manager import PluginProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sanic import Blueprint

    from gateway.app.prepare import Judged
    from gateway.config import Loaded, Problem

__all__ = ["check_collisions"]


def check_collisions(judged: Judged) -> list[Problem]:
    """Have the plugins make their blueprints, and compare their paths with the routes'.

    It calls `gateway_configure` and `gateway_blueprints` of every plugin whose options are good, in a node
    that is never started. No event loop may run in this thread.
    """
    return asyncio.run(_check(judged))


async def _check(judged: Judged) -> list[Problem]:
    loaded, manager = judged.good, judged.plugins
    if loaded is None or manager is None:
        return []
    log: Any = make_logger("error", "json", io.StringIO())
    node = Node(MemoryBroker(), log)
    served = _Served()
    problems: list[Problem] = []
    served.add("the gateway itself", [health_blueprint(node)])
    for plugin in manager.plugins:
        options = judged.plugin_options.get(plugin.name)
        if options is None:
            continue
        try:
            manager.configure(plugin, options)
            served.add(f"plugin {plugin.name!r}", manager.blueprints_of(plugin, node))
        except PluginProblem as exc:
            problems.append(_plugin_problem(loaded, plugin.name, str(exc)))
        except Exception as exc:  # noqa: BLE001 - Sanic asserts, and what a plugin gives may be anything
            problems.append(_plugin_problem(loaded, plugin.name, str(plugin.problem(one_line(exc)))))
    problems += served.collisions(loaded)
    served.close()
    return problems


def _plugin_problem(loaded: Loaded, plugin: str, text: str) -> Problem:
    named = ("plugins", plugin)
    return loaded.problem_at_key(named if named in loaded.marks.values else ("plugins",), text)


class _Served:
    """The paths of plain HTTP, by whose they are."""

    def __init__(self) -> None:
        self._app: Sanic[Any, Any] = Sanic(f"check-{secrets.token_hex(4)}", configure_logging=False)
        self._owners: dict[tuple[str | None, ...], str] = {}

    def add(self, owner: str, blueprints: list[Blueprint] | Any) -> None:
        """Add somebody's blueprints."""
        for blueprint in blueprints:
            self._app.blueprint(blueprint)
        for route in self._app.router.routes_all.values():
            shape = shape_of_segments("/" + str(route.path).strip("/").replace("<", "{"))
            self._owners.setdefault(shape, owner)

    def collisions(self, loaded: Loaded) -> Iterator[Problem]:
        """Find routes whose path somebody else answers."""
        for index, route in enumerate(loaded.config.routes):
            owner = self._owners.get(shape_of_segments(route.path))
            if owner is not None:
                place = ("routes", index, "path")
                text = f"path is served by {owner} already: {loaded.show(place, route.path)}"
                yield loaded.problem(place, text)

    def close(self) -> None:
        """Let Sanic forget the application."""
        Sanic.unregister_app(self._app)
