from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sanic import Blueprint, Sanic
from sanic.response import text

from gateway import Options, hookimpl
from gateway.app.collisions import check_collisions
from gateway.app.prepare import judge
from gateway.plugin.manager import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Place(Options):
    """Options of the plugin."""

    path: str = "/page"


class Serving:
    """A plugin with plain HTTP."""

    def __init__(self) -> None:
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
        blueprint = Blueprint("serving")

        async def answer(_: Any, **__: Any) -> Any:
            return text("hello")

        blueprint.add_route(answer, self._options.path, name="page")
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
    """A function that judges a text with plugins; it gives what is said of collisions, without the file."""

    def problems(yaml: str, *plugins: object) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml)
        extra = [Plugin(f"p{index}", f"p{index}-plugin", "1", one) for index, one in enumerate(plugins)]
        found = [str(one) for one in check_collisions(judge(file, {}, extra))]
        return [line.removeprefix(f"{file}:") for line in found]

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


def test_nothing_is_left_behind(problems) -> None:
    """Sanic knows the application no more, so that a process may check again and again."""
    for _ in range(3):
        assert problems("routes: [{path: /page}]", Serving())
    assert not any(name.startswith("check-") for name in Sanic._app_registry)
