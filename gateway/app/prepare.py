"""Judging a configuration together with the installed plugins: everything but serving it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.auth import builtin
from gateway.config import ConfigError, check_certificates, did_you_mean, in_order, load_config, validate_options
from gateway.plugin.manager import BUILT_IN, Plugin, PluginManager
from gateway.plugin.handler import Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path as FilePath

    from gateway.config import GatewayConfig, Loaded, Problem
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.handler import Handler

__all__ = ["HandlerChoice", "Prepared", "load_plugins", "prepare"]


@dataclass(frozen=True, slots=True)
class HandlerChoice:
    """A handler that a route names: its class and its validated options."""

    name: str
    handler: type[Handler[Any]]
    options: Options


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that has passed every check, with what its names stand for.

    Args:
        config: The configuration.
        plugins: The installed plugins that are enabled.
        handlers: Of each route, in the order of the routes.
        authenticators: The ways that some route names.
        plugin_options: By the plugin's name.
    """

    config: GatewayConfig
    plugins: PluginManager
    handlers: tuple[tuple[HandlerChoice, ...], ...]
    authenticators: Mapping[str, tuple[type[Authenticator[Any]], Options]]
    plugin_options: Mapping[str, Options]

    def with_config(self, config: GatewayConfig) -> Prepared:
        """Give the same with another configuration, whose routes and plugins must be the same."""
        return replace(self, config=config)


def load_plugins(disabled: Iterable[str] = ()) -> PluginManager:
    """Find and register the gateway's own plugin and every installed one that is not disabled."""
    manager = PluginManager()
    manager.register(Plugin("builtin", BUILT_IN, "", builtin))
    manager.load(frozenset(disabled))
    return manager


def prepare(path: str | FilePath, environ: Mapping[str, str] = os.environ) -> Prepared:
    """Read gateway.yaml, find the plugins, and judge both.

    Raises:
        ConfigError: With every problem of the file, the plugins and the certificates.
    """
    loaded = load_config(path, environ)
    return _Preparation(loaded).finish()


@dataclass
class _Preparation:
    """The steps of `prepare`, which share a list of problems."""

    loaded: Loaded
    problems: list[Problem] = field(default_factory=list)

    def finish(self) -> Prepared:
        config = self.loaded.config
        disabled = [name for name, plugin in config.plugins.items() if not plugin.enabled]
        manager = load_plugins(disabled)
        known_handlers = manager.handlers()
        known_ways = manager.authenticators()
        plugin_options = self._plugin_options(manager, disabled)
        handlers = tuple(
            self._handlers(index, {name: cls for name, (_, cls) in known_handlers.items()})
            for index in range(len(config.routes))
        )
        ways = self._ways({name: cls for name, (_, cls) in known_ways.items()})
        self.problems += check_certificates(self.loaded)
        self._plugin_problems(manager)
        if self.problems:
            raise ConfigError(in_order(self.problems))
        return Prepared(config, manager, handlers, ways, plugin_options)

    def _plugin_problems(self, manager: PluginManager) -> None:
        """Put what is wrong with plugins beside the line that names the plugin, or at the file's first."""
        for problem in manager.problems:
            named = problem.plugin in self.loaded.config.plugins
            path = ("plugins", problem.plugin) if named else ("plugins",)
            self.problems.append(self.loaded.problem_at_key(path, str(problem)))

    def _plugin_options(self, manager: PluginManager, disabled: list[str]) -> dict[str, Options]:
        found: dict[str, Options] = {}
        plugins = {plugin.name: plugin for plugin in manager.plugins if plugin.distribution != BUILT_IN}
        broken = {problem.plugin for problem in manager.problems}
        settings = self.loaded.config.plugins
        for name in settings:
            if name not in plugins and name not in broken and name not in disabled:
                message = f"plugin {name!r} is not installed"
                problem = self.loaded.problem_at_key(("plugins", name), message, did_you_mean(name, plugins))
                self.problems.append(problem)
        for name, plugin in plugins.items():
            model = manager.options_model(plugin) or Options
            given = settings[name].options if name in settings else {}
            options = self._options(("plugins", name, "options"), model, given)
            if options is not None:
                found[name] = options
        return found

    def _handlers(
        self, index: int, known: Mapping[str, type[Handler[Any]]]
    ) -> tuple[HandlerChoice, ...]:
        choices: list[HandlerChoice] = []
        for position, use in enumerate(self.loaded.config.routes[index].handlers):
            path = ("routes", index, "handlers", position)
            cls = known.get(use.name)
            if cls is None:
                message = f"no installed plugin gives a handler {use.name!r}"
                self.problems.append(self.loaded.problem((*path, "name"), message, did_you_mean(use.name, known)))
                continue
            options = self._options((*path, "options"), cls.options_model, use.options)
            if options is not None:
                choices.append(HandlerChoice(use.name, cls, options))
        return tuple(choices)

    def _ways(
        self, known: Mapping[str, type[Authenticator[Any]]]
    ) -> dict[str, tuple[type[Authenticator[Any]], Options]]:
        config = self.loaded.config
        places: dict[str, list[tuple[str | int, ...]]] = {}
        authentication: dict = {}  # XXX
        for name in authentication:
            places.setdefault(name, []).append(("authentication", name))
        for index, route in enumerate(config.routes):
            for position, name in enumerate(route.authenticate):
                places.setdefault(name, []).append(("routes", index, "authenticate", position))
        found: dict[str, tuple[type[Authenticator[Any]], Options]] = {}
        for name, paths in places.items():
            cls = known.get(name)
            if cls is None:
                message = f"no installed plugin gives a way {name!r} to authenticate"
                hint = did_you_mean(name, known)
                self.problems += [self.loaded.problem(path, message, hint) for path in paths]
                continue
            given = authentication.get(name, {})
            options = self._options(("authentication", name), cls.options_model, given)
            if options is not None:
                found[name] = (cls, options)
        return found

    def _options(self, path: tuple[str | int, ...], model: type[Options], given: Any) -> Options | None:
        options, problems = validate_options(self.loaded, path, model, given)
        self.problems += problems
        return options
