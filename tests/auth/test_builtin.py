"""Tests of the gateway's own plugin."""

from __future__ import annotations

from gateway.app.prepare import load_plugins
from gateway.auth import builtin
from gateway.auth.token import TokenAuthenticator
from gateway.config import AuthenticationConfig
from gateway.plugin.manager import BUILT_IN, Plugin, PluginManager


def test_the_built_in_ways_come_through_the_public_hook() -> None:
    """The gateway's own plugin passes the judging of all plugins, and gives every way of its own."""
    manager = PluginManager()
    manager.register(Plugin("builtin", BUILT_IN, "", builtin))
    assert manager.problems == []
    ways = {name: cls for name, (_, cls) in manager.authenticators().items()}
    assert ways.keys() == AuthenticationConfig.model_fields.keys()
    assert ways["token"] is TokenAuthenticator


def test_it_is_always_there() -> None:
    """The gateway's own plugin is registered first, so that no other can take its name or its ways."""
    assert load_plugins().plugins[0].distribution == BUILT_IN
