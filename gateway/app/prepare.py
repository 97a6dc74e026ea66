"""Judging a configuration together with the installed plugins: everything but serving it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.auth import builtin
from gateway.config import (
    ConfigError,
    check_certificates,
    did_you_mean,
    in_order,
    load_config,
    validate_options,
)
from gateway.plugin.handler import Options
from gateway.plugin.manager import BUILT_IN, Plugin, PluginManager

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path as FilePath

    from pydantic import BaseModel

    from gateway.config import GatewayConfig, Loaded, Problem
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.handler import Handler

__all__ = ["HandlerChoice", "Prepared", "load_plugins", "prepare"]


@dataclass(frozen=True, slots=True)
class HandlerChoice:
    """A handler that a route names: its class and its validated options."""

    name: str
    handler: type[Handler[Any]]
    options: BaseModel


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
    authenticators: Mapping[str, tuple[type[Authenticator[Any]], BaseModel]]
    plugin_options: Mapping[str, BaseModel]

    def with_config(self, config: GatewayConfig) -> Prepared:
        """Give the same with another configuration, whose routes and plugins must be the same."""
        return replace(self, config=config)


def load_plugins(disabled: Iterable[str] = (), extra: Iterable[Plugin] = ()) -> PluginManager:
    """Find and register the gateway's own plugin, `extra` ones, and every installed one not disabled."""
    manager = PluginManager()
    for plugin in (Plugin("builtin", BUILT_IN, "", builtin), *extra):
        manager.register(plugin)
    manager.load(frozenset(disabled))
    return manager


def prepare(
    path: str | FilePath, environ: Mapping[str, str] = os.environ, extra: Iterable[Plugin] = ()
) -> Prepared:
    """Read gateway.yaml, find the plugins, and judge both.

    Args:
        path: The file.
        environ: Where `${NAME}` finds its values.
        extra: Plugins that are not installed.

    Raises:
        ConfigError: With every problem of the file, the plugins and the certificates.
    """
    loaded = load_config(path, environ)
    return _Preparation(loaded, tuple(extra)).finish()


@dataclass
class _Preparation:
    """The steps of `prepare`, which share a list of problems."""

    loaded: Loaded
    extra: tuple[Plugin, ...]
    problems: list[Problem] = field(default_factory=list)

    def finish(self) -> Prepared:
        config = self.loaded.config
        disabled = [name for name, plugin in config.plugins.items() if not plugin.enabled]
        manager = load_plugins(disabled, self.extra)
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

    def _plugin_options(self, manager: PluginManager, disabled: list[str]) -> dict[str, BaseModel]:
        found: dict[str, BaseModel] = {}
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

    def _handlers(self, index: int, known: Mapping[str, type[Handler[Any]]]) -> tuple[HandlerChoice, ...]:
        choices: list[HandlerChoice] = []
        for position, use in enumerate(self.loaded.config.routes[index].handlers):
            path = ("routes", index, "handlers", position)
            cls = known.get(use.name)
            if cls is None:
                message = f"no installed plugin gives a handler {use.name!r}"
                self.problems.append(
                    self.loaded.problem((*path, "name"), message, did_you_mean(use.name, known))
                )
                continue
            options = self._options((*path, "options"), cls.options_model, use.options)
            if options is not None:
                choices.append(HandlerChoice(use.name, cls, options))
        return tuple(choices)

    def _ways(
        self, known: Mapping[str, type[Authenticator[Any]]]
    ) -> dict[str, tuple[type[Authenticator[Any]], BaseModel]]:
        config = self.loaded.config
        settings = config.authentication.model_extra or {}
        places: dict[str, list[tuple[str | int, ...]]] = {
            name: [("authentication", name)] for name in settings
        }
        for index, route in enumerate(config.routes):
            for position, name in enumerate(route.authenticate):
                places.setdefault(name, []).append(("routes", index, "authenticate", position))
        found: dict[str, tuple[type[Authenticator[Any]], BaseModel]] = {}
        for name, paths in places.items():
            cls = known.get(name)
            if cls is None:
                message = f"no installed plugin gives a way {name!r} to authenticate"
                hint = did_you_mean(name, known)
                self.problems += [self.loaded.problem(path, message, hint) for path in paths]
                continue
            options: BaseModel | None
            if name in type(config.authentication).model_fields:
                options = getattr(config.authentication, name)
            else:
                options = self._options(("authentication", name), cls.options_model, settings.get(name, {}))
            if options is not None:
                found[name] = (cls, options)
        return found

    def _options(self, path: tuple[str | int, ...], model: type[BaseModel], given: Any) -> BaseModel | None:
        options, problems = validate_options(self.loaded, path, model, given)
        self.problems += problems
        return options
