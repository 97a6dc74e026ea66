from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint, Sanic
from sanic.response import text

from gateway import Options, hookimpl
from gateway.app.collisions import check_collisions
from gateway.app.prepare import judge
from gateway.config import in_order
from gateway.plugin.manager import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Place(Options):
    """Options of the plugin."""

    path: str = "/page"
    other: str = "/other"


class Serving:
    """A plugin with plain HTTP."""

    def __init__(self, name: str = "serving") -> None:
        self._name = name
        self._options = Place()

    @hookimpl
    def gateway_options(self) -> type[Options]:
        """Give the model."""
        return Place

    @hookimpl
    def gateway_configure(self, options: Place) -> None:
        """Keep the options."""
        self._options = options

    @hookimpl
    def gateway_blueprints(self, node: Any) -> Sequence[Blueprint]:
        """Serve the page, and items."""
        assert node.name
        blueprint = Blueprint(self._name)

        async def answer(_: Any, **__: Any) -> Any:
            return text("hello")

        blueprint.add_route(answer, self._options.path, name="page")
        blueprint.add_route(answer, self._options.other, name="other")
        blueprint.add_route(answer, "/items/<item:int>", name="item", methods=["POST"])
        return [blueprint]


class Failing:
    """A plugin whose hook fails."""

    @hookimpl
    def gateway_blueprints(self) -> Sequence[Blueprint]:
        """Fail."""
        raise RuntimeError("no pages today")


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that judges a text with plugins; it gives what is said of collisions, without the file.

    With `advice`, each is followed by its advice.
    """

    def problems(yaml: str, *plugins: object, advice: bool = False) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml)
        extra = [Plugin(f"p{index}", f"p{index}-plugin", "1", one) for index, one in enumerate(plugins)]
        found = in_order(check_collisions(judge(file, {}, extra)))
        told = [f"{one} ({one.advice})" if advice and one.advice else str(one) for one in found]
        return [line.removeprefix(f"{file}:") for line in told]

    return problems


def test_paths_of_their_own(problems) -> None:
    """Routes beside what a plugin serves are good, and so is a special path beside a general one."""
    paths = ("/pages", "/page/{x}", "/items", "/items/special", "/healthz/x")
    listed = "".join(f"  - path: '{path}'\n" for path in paths)
    assert problems(f"routes:\n{listed}", Serving()) == []


def test_paths_that_are_taken(problems) -> None:
    """A route's path that a plugin or the gateway itself answers is told, whatever the parameter's name."""
    yaml = 'routes:\n  - path: /page\n  - path: "/items/{id}"\n  - path: /readyz\n'
    assert problems(yaml, Serving()) == [
        "2:11: routes[0].path: path is served by plugin 'p0' already: '/page'",
        "3:11: routes[1].path: path is served by plugin 'p0' already: '/items/{id}'",
        "4:11: routes[2].path: path is served by the gateway itself already: '/readyz'",
    ]


def test_the_plugins_options_count(problems) -> None:
    """The plugin is configured before it is asked."""
    yaml = "routes: [{path: /page}, {path: /elsewhere}]\nplugins: {p0: {options: {path: /elsewhere}}}"
    (line,) = problems(yaml, Serving())
    assert line == "1:32: routes[1].path: path is served by plugin 'p0' already: '/elsewhere'"


def test_beside_other_errors(problems) -> None:
    """A file with other errors is judged too, at its own lines."""
    (line,) = problems("lisen: {}\nroutes: [{path: bad}, {path: /page}]", Serving())
    assert line == "2:30: routes[1].path: path is served by plugin 'p0' already: '/page'"


def test_plugins_that_fail(problems) -> None:
    """A hook that fails, and two plugins with one path, are told as the plugin's problems."""
    (line,) = problems("plugins: {p0: {}}", Failing())
    assert line == (
        "1:11: plugins.p0: plugin 'p0' of distribution 'p0-plugin': "
        "hook gateway_blueprints failed: RuntimeError: no pages today"
    )
    (line,) = problems("", Serving(), Serving())
    assert "plugin 'p1' of distribution 'p1-plugin': " in line


OPERATORS = "api: {tokens: [{name: a, token: 0123456789abcdef0123}]}\n"
APART = "set admin.port, which gives operators a listener of their own"


def test_what_operators_are_answered(problems) -> None:
    """Without a listener of their own, the API and the figures take their paths, and no others."""
    paths = ("/metrics", "/api/publish", "/api/stats", "/api/other", "/admin", "/api/tickets")
    routes = "routes: [" + ", ".join(f"{{path: {path}}}" for path in paths) + "]\n"
    assert problems(OPERATORS + routes, advice=True) == [
        f"2:17: routes[0].path: path is served by the gateway itself already: '/metrics' ({APART})",
        f"2:35: routes[1].path: path is served by the gateway itself already: '/api/publish' ({APART})",
        f"2:57: routes[2].path: path is served by the gateway itself already: '/api/stats' ({APART})",
    ]
    for free in ("admin: {port: 8001}", "metrics: {enabled: false}", "api: {tokens: []}"):
        text = routes + (free if free.startswith("api") else OPERATORS + free)
        assert not any("/metrics" in line for line in problems(text)), free
        assert bool(problems(text)) is free.startswith("metrics"), free
    (line,) = problems(routes + "metrics: {public: true}")
    assert "'/metrics'" in line
    # Whether they have a listener of their own cannot be told.
    assert problems(OPERATORS + routes + "admin: {port: many}") == []


TICKET = (
    "authentication: {token: {}, ticket: {secret: 0123456789abcdef0123456789abcdef, authenticate: [token]}}\n"
)


def test_where_tickets_are_given(problems) -> None:
    """Its path is taken where there are tickets, whoever has a listener of their own."""
    yaml = "admin: {port: 8001}\nroutes: [{path: /api/tickets}]\n"
    assert problems(yaml) == []
    (line,) = problems(yaml + TICKET, advice=True)
    assert line == (
        "2:17: routes[0].path: path is served by the gateway itself already: '/api/tickets' "
        "(it is where authentication.ticket gives tickets)"
    )


def test_a_plugins_path_that_is_taken(problems) -> None:
    """Each path is told at the option that says it, whoever has it: the gateway, the plugin, another."""
    yaml = OPERATORS + "plugins: {p0: {options: {path: /metrics, other: /healthz}}}"
    assert problems(yaml, Serving(), advice=True) == [
        f"2:32: plugins.p0.options.path: path is served by the gateway itself already: '/metrics' ({APART})",
        "2:49: plugins.p0.options.other: path is served by the gateway itself already: '/healthz'",
    ]
    (line,) = problems("plugins: {p0: {options: {path: /x, other: /x}}}", Serving())
    assert line == "1:43: plugins.p0.options.other: path is served by this plugin already: '/x'"
    found = problems("plugins: {p1: {}}", Serving(), Serving("another"), advice=True)
    said = (
        "1:11: plugins.p1: plugin 'p1' of distribution 'p1-plugin': path is served by plugin 'p0' already: "
    )
    assert found == [
        f"{said}'/items/<item:int>'",
        f"{said}'/other' (set plugins.p1.options.other to another path)",
        f"{said}'/page' (set plugins.p1.options.path to another path)",
    ]


def test_what_a_route_may_do(problems) -> None:
    """Beside a route's path stands the option that takes it, also where the file does not name it."""
    (line,) = problems("routes: [{path: /other}]", Serving(), advice=True)
    assert line == (
        "1:17: routes[0].path: path is served by plugin 'p0' already: '/other' "
        "(set plugins.p0.options.other to another path)"
    )


async def test_what_the_gateway_answers_is_known(serve_gateway, tmp_path: Path) -> None:
    """Whatever a gateway with all on answers of itself is held against the routes."""
    yaml = OPERATORS + TICKET + "metrics: {public: true}\nplugins: {live: {enabled: false}}\n"
    served = await serve_gateway(yaml)
    paths = {str(route.path) for route in served.gateway.app.router.routes_all.values()}
    assert {"metrics", "api/tickets", "api/publish", "healthz"} <= paths
    file = tmp_path / "check.yaml"
    file.write_text(yaml + "routes: [" + ", ".join(f"{{path: /{path}}}" for path in sorted(paths)) + "]")
    found = await asyncio.to_thread(lambda: check_collisions(judge(file, {})))
    assert [one.path[1] for one in found] == list(range(len(paths)))


def test_nothing_is_left_behind(problems) -> None:
    """Sanic knows the application no more, so that a process may check again and again."""
    for _ in range(3):
        assert problems("routes: [{path: /page}]", Serving())
    assert not any(name.startswith("check-") for name in Sanic._app_registry)
