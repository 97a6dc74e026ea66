from __future__ import annotations

import sys
from textwrap import dedent
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from gateway import hookimpl
from gateway.plugin.manager import Plugin, PluginManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that puts a distribution and its modules on the path, as an installer leaves them."""
    before = set(sys.modules)

    def install(distribution: str, plugins: Mapping[str, str], **modules: str) -> None:
        folder = tmp_path / distribution
        info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {value}" for name, value in plugins.items()]
        (info / "entry_points.txt").write_text("\n".join(["[gateway]", *lines, ""]))
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(dedent(source))
        monkeypatch.syspath_prepend(folder)

    yield install
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def manager_of() -> Callable[..., PluginManager]:
    """A function that makes a manager of plugins that are not installed, named p0 and so on."""

    def manager_of(*values: object) -> PluginManager:
        manager = PluginManager()
        for index, value in enumerate(values):
            manager.register(Plugin(f"p{index}", f"dist-{index}", "1", value))
        return manager

    return manager_of


@pytest.fixture
def plugin_of() -> Callable[..., object]:
    """A function that makes a plugin of functions, each under the name of its hook."""

    def plugin_of(**functions: FunctionType) -> object:
        value = type("Value", (), {})()
        for name, function in functions.items():
            # A copy, since the mark is an attribute of the function.
            copy: Any = FunctionType(
                function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
            )
            setattr(value, name, hookimpl(copy))
        return value

    return plugin_of
