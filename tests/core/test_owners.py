"""Tests of whose code it is."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from gateway.core.owners import Owners


def test_modules_and_packages() -> None:
    """A plugin has its module and all around it that no other plugin has; the longest name counts."""
    owners = Owners()
    owners.add("greet", "acme.greet.hooks")
    assert owners.plugin_of("acme.common") == "greet"
    owners.add("chat", "acme.chat")
    found = {
        module: owners.plugin_of(module)
        for module in ("acme", "acme.common", "acme.greet", "acme.greet.rooms", "acme.chat.db", "acmes", "")
    }
    assert found == {
        "acme": "",
        "acme.common": "",
        "acme.greet": "greet",
        "acme.greet.rooms": "greet",
        "acme.chat.db": "chat",
        "acmes": "",
        "": "",
    }


def test_nobody_has_what_all_share() -> None:
    """The gateway and the standard library are no plugin's, though one is made of their objects."""
    owners = Owners()
    for module in ("gateway.auth.builtin", "types", "collections.abc"):
        owners.add("odd", module)
    assert [owners.plugin_of(name) for name in ("gateway.core.hub", "types", "collections")] == ["", "", ""]


@pytest.mark.parametrize("plugin", ["mine", ""])
def test_the_innermost_line_of_a_plugin(plugin: str) -> None:
    """On a stack it is the plugin's line that called on; without a plugin it is the innermost of all."""
    module = ModuleType("mine")
    source = "def outer(call):\n    return call()\n"
    exec(compile(source, "mine.py", "exec"), module.__dict__)  # noqa: S102 - our own
    owners = Owners()
    if plugin:
        owners.add(plugin, "mine")

    def inner() -> object:
        return owners.culprit(sys._getframe())

    place = module.outer(inner)
    assert place.plugin == plugin
    if plugin:
        assert (str(place), place.function) == ("mine.py:2", "outer")
    else:
        assert place.file == __file__
        assert place.function.endswith("inner")
