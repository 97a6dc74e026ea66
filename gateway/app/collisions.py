"""Paths that a route and plain HTTP both claim: the gateway's own, and those of plugins' blueprints."""

from __future__ import annotations

import asyncio
import io
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sanic import Sanic
from sanic.router import Router
from sanic_routing.exceptions import RouteExists

from gateway.app.overlaps import shape_of_segments
from gateway.app.own_pages import own_blueprints
from gateway.broker.memory import MemoryBroker
from gateway.core.node import Node
from gateway.observe.logs import make_logger
from gateway.plugin.judging import one_line
from gateway.plugin.manager import PluginProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel
    from sanic import Blueprint
    from sanic_routing import Route

    from gateway.app.prepare import Judged
    from gateway.config import Loaded, Problem
    from gateway.config.problems import Path
    from gateway.plugin.manager import Plugin, PluginManager

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
    for blueprint, advice in own_blueprints(loaded, node):
        served.add([blueprint], _Owner("the gateway itself", advice))
    for plugin in manager.plugins:
        options = judged.plugin_options.get(plugin.name)
        if options is not None:
            problems += _plugin_problems(loaded, served, manager, plugin, options, node)
    problems += served.collisions(loaded)
    served.close()
    return problems


def _plugin_problems(
    loaded: Loaded,
    served: _Served,
    manager: PluginManager,
    plugin: Plugin,
    options: BaseModel,
    node: Node,
) -> Iterator[Problem]:
    """Add what a plugin serves; give what is wrong with it."""
    owner = _Owner(f"plugin {plugin.name!r}", None, plugin.name, options)
    try:
        manager.configure(plugin, options)
        for path, first in served.add(manager.blueprints_of(plugin, node), owner):
            yield _taken_by(loaded, plugin, owner, path, first)
    except PluginProblem as exc:
        yield _plugin_problem(loaded, plugin.name, str(exc))
    except Exception as exc:  # noqa: BLE001 - Sanic asserts, and what a plugin gives may be anything
        yield _plugin_problem(loaded, plugin.name, str(plugin.problem(one_line(exc))))


def _taken_by(loaded: Loaded, plugin: Plugin, owner: _Owner, path: str, first: _Owner) -> Problem:
    """Make the problem of a plugin's path that somebody answers already, at the option that says it."""
    whose = "this plugin" if first is owner else first.name
    option = owner.option_of(path)
    place: Path = ("plugins", plugin.name, "options", option or "")
    if option is not None and place in loaded.marks.values:
        shown = loaded.show(place, path)
        return loaded.problem(place, f"path is served by {whose} already: {shown}", advice=first.advice)
    problem = _plugin_problem(
        loaded, plugin.name, str(plugin.problem(f"path is served by {whose} already: {path!r}"))
    )
    return replace(problem, advice=first.advice if option is None else owner.advice_for(path))


def _plugin_problem(loaded: Loaded, plugin: str, text: str) -> Problem:
    named = ("plugins", plugin)
    return loaded.problem_at_key(named if named in loaded.marks.values else ("plugins",), text)


@dataclass(frozen=True, eq=False)
class _Owner:
    """Who answers at a path.

    Args:
        name: Who it is, in words.
        advice: What would take it away from there; `None` where nothing does, or an option.
        plugin: The plugin's name; `None` for the gateway itself.
        options: The plugin's options.
    """

    name: str
    advice: str | None
    plugin: str | None = None
    options: BaseModel | None = None

    def option_of(self, path: str) -> str | None:
        """Find the option of which a path comes; the last one, if several say it."""
        if self.options is None:
            return None
        said = {name: value.rstrip("/") for name, value in self.options if isinstance(value, str)}
        fitting = [
            (len(value), name)
            for name, value in said.items()
            if value == path.rstrip("/") or (value and path.startswith(f"{value}/"))
        ]
        longest = max((length for length, _ in fitting), default=0)
        return next((name for length, name in reversed(fitting) if length == longest), None)

    def advice_for(self, path: str) -> str | None:
        """Give what would take it away from a path."""
        option = self.option_of(path)
        if option is None:
            return self.advice
        return f"set plugins.{self.plugin}.options.{option} to another path"


class _Served:
    """The paths of plain HTTP, by whose they are."""

    def __init__(self) -> None:
        self._router = _Router()
        name = f"check-{secrets.token_hex(4)}"
        self._app: Sanic[Any, Any] = Sanic(name, router=self._router, configure_logging=False)
        self._owners: dict[tuple[str | None, ...], tuple[_Owner, str]] = {}

    def add(self, blueprints: Iterable[Blueprint], owner: _Owner) -> list[tuple[str, _Owner]]:
        """Add somebody's blueprints; give the paths among theirs that are taken, each with who has it."""
        self._router.taken.clear()
        for blueprint in blueprints:
            self._app.blueprint(blueprint)
        taken = sorted(set(self._router.taken))
        found = [(path, self._owners.get(_shape(path), (owner, path))[0]) for path in taken]
        for route in self._app.router.routes_all.values():
            path = "/" + str(route.path).strip("/")
            self._owners.setdefault(_shape(path), (owner, path))
        return found

    def collisions(self, loaded: Loaded) -> Iterator[Problem]:
        """Find routes whose path somebody else answers."""
        for index, route in enumerate(loaded.config.routes):
            owner, path = self._owners.get(shape_of_segments(route.path), (None, ""))
            if owner is not None:
                place = ("routes", index, "path")
                text = f"path is served by {owner.name} already: {loaded.show(place, route.path)}"
                yield loaded.problem(place, text, advice=owner.advice_for(path))

    def close(self) -> None:
        """Let Sanic forget the application."""
        Sanic.unregister_app(self._app)


class _Router(Router):
    """Sanic's router, which notes what it cannot add and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def add(self, uri: str, *more: Any, **options: Any) -> Route | list[Route]:  # type: ignore[override]
        """Add a path, unless it is taken."""
        try:
            return super().add(uri, *more, **options)
        except RouteExists:
            self.taken.append("/" + uri.strip("/"))
            return []


def _shape(path: str) -> tuple[str | None, ...]:
    return shape_of_segments(path.replace("<", "{"))
