"""Judging a configuration together with the installed plugins: everything but serving it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.app.embedding import missing_broker
from gateway.app.option_hints import with_option_hints
from gateway.app.overlaps import overlapping_routes
from gateway.app.slips import find_slips
from gateway.app.uses import (
    Use,
    broker_use,
    handler_uses,
    history_uses,
    path_of,
    plugin_uses,
    way_settings,
    way_uses,
)
from gateway.auth import builtin
from gateway.auth.check import check_keys
from gateway.broker.check import check_broker_files
from gateway.config import (
    AuthenticationConfig,
    ConfigError,
    Loaded,
    Severity,
    check_certificates,
    did_you_mean,
    in_order,
    load_config,
    validate_options,
)
from gateway.config.models.broker import BUILT_IN_BROKERS, built_in_broker
from gateway.config.remains import Remains, remains_of
from gateway.plugin.handler import Options
from gateway.plugin.manager import BUILT_IN, Plugin, PluginManager
from gateway.protocol.origin import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path as FilePath

    from pydantic import BaseModel

    from gateway.config import Draft, GatewayConfig, Path, Problem
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.broker import PluginBroker
    from gateway.plugin.handler import Handler

__all__ = ["HandlerChoice", "Judged", "Prepared", "judge", "load_plugins", "prepare"]


@dataclass(frozen=True, slots=True)
class HandlerChoice:
    """A handler that a route names: its class and its validated options."""

    name: str
    handler: type[Handler[Any]]
    options: BaseModel
    plugin: str
    """The plugin that it comes from."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that has passed every check, with what its names stand for.

    Args:
        config: The configuration.
        plugins: The installed plugins that are enabled.
        handlers: Of each route, in the order of the routes.
        authenticators: The ways that some route names.
        plugin_options: By the plugin's name.
        warnings: What needs someone's attention before it is an error.
        broker: The broker's class and options, if a plugin gives it.
        loaded: The file as it was read, for what asks where a value comes from.
        way_plugins: The plugins that ways come from, by the way's name.
    """

    config: GatewayConfig
    plugins: PluginManager
    handlers: tuple[tuple[HandlerChoice, ...], ...]
    authenticators: Mapping[str, tuple[type[Authenticator[Any]], BaseModel]]
    plugin_options: Mapping[str, BaseModel]
    warnings: tuple[Problem, ...] = ()
    broker: tuple[type[PluginBroker[Any]], BaseModel] | None = None
    loaded: Loaded | None = None
    way_plugins: Mapping[str, str] = field(default_factory=dict)

    def with_config(self, config: GatewayConfig) -> Prepared:
        """Give the same with another configuration, whose routes and plugins must be the same."""
        return replace(self, config=config)


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of judging a configuration.

    Args:
        problems: What is wrong, and what needs attention, in the order of their lines.
        good: What is good of it; None where that cannot be told.
        plugins: The installed plugins that are enabled; None where the file could not be read.
        plugin_options: The plugins' options that are good, by the plugin's name.
        prepared: The whole, where nothing is wrong.
    """

    problems: tuple[Problem, ...]
    good: Loaded | None
    plugins: PluginManager | None
    plugin_options: Mapping[str, BaseModel]
    prepared: Prepared | None


def load_plugins(disabled: Iterable[str] = (), extra: Iterable[Plugin] = ()) -> PluginManager:
    """Find and register the gateway's own plugin, `extra` ones, and every installed one not disabled."""
    manager = PluginManager()
    for plugin in (Plugin("builtin", BUILT_IN, "", builtin), *extra):
        manager.register(plugin)
    manager.load(frozenset(disabled))
    return manager


def prepare(
    path: str | FilePath,
    environ: Mapping[str, str] = os.environ,
    extra: Iterable[Plugin] = (),
    *,
    text: str | None = None,
) -> Prepared:
    """Read gateway.yaml, find the plugins, and judge both.

    Args:
        path: The file.
        environ: Where `${NAME}` finds its values.
        extra: Plugins that are not installed.
        text: What the file said when somebody else read it. The default, `None`, reads it now.

    Raises:
        ConfigError: With every problem of the file, the plugins and the certificates.
    """
    judged = judge(path, environ, extra, text=text)
    if judged.prepared is None:
        raise ConfigError(judged.problems, judged.good)
    return judged.prepared


def judge(
    path: str | FilePath,
    environ: Mapping[str, str] = os.environ,
    extra: Iterable[Plugin] = (),
    *,
    text: str | None = None,
) -> Judged:
    """Read gateway.yaml, find the plugins, and judge both, as `prepare`, whose arguments it has."""
    try:
        loaded = load_config(path, environ, text)
    except ConfigError as exc:
        if exc.draft is None:
            return Judged(exc.problems, None, None, {}, None)
        preparation = _Preparation(exc.draft, extra)
        preparation.judge()
        remains = remains_of(exc.draft)
        others = () if remains is None else _other_problems(remains)
        read = with_option_hints(exc.problems, exc.draft, preparation.manager)
        problems = in_order((*read, *preparation.problems, *others, *find_slips(exc.draft)))
        return Judged(problems, remains, preparation.manager, preparation.plugin_options, None)
    preparation = _Preparation(loaded, extra)
    preparation.judge()
    problems = in_order((*preparation.problems, *_other_problems(loaded), *find_slips(loaded)))
    prepared = None
    if not any(problem.severity is Severity.ERROR for problem in problems):
        prepared = Prepared(
            loaded.config,
            preparation.manager,
            tuple(tuple(preparation.handlers.get(index, ())) for index in range(len(loaded.config.routes))),
            preparation.ways,
            preparation.plugin_options,
            problems,
            preparation.broker,
            loaded,
            preparation.way_plugins,
        )
    return Judged(problems, loaded, preparation.manager, preparation.plugin_options, prepared)


def _other_problems(loaded: Loaded) -> Iterator[Problem]:
    """Judge what no model and no plugin can: the files that are named, and what several sections make."""
    yield from check_certificates(loaded)
    yield from check_keys(loaded)
    yield from check_broker_files(loaded)
    yield from _origin_problems(loaded)
    yield from overlapping_routes(loaded)
    # Without what was wrong, the broker and the workers may look as they are not.
    if not (isinstance(loaded, Remains) and loaded.lacks(("broker",), ("listen", "workers"))):
        yield from missing_broker(loaded)


def _origin_problems(loaded: Loaded) -> Iterator[Problem]:
    """Find origins that could never match, by making the policy that would judge by them."""
    lists: list[tuple[Path, tuple[str, ...] | None]] = [
        (("routes", index), route.allowed_origins) for index, route in enumerate(loaded.config.routes)
    ]
    ticket = loaded.config.authentication.ticket
    if ticket is not None:
        lists.append((("authentication", "ticket"), ticket.allowed_origins))
    for around, origins in lists:
        for position, origin in enumerate(origins or ()):
            try:
                OriginPolicy.from_config((origin,), missing=False)
            except ValueError:
                place = (*around, "allowed_origins", position)
                yield loaded.problem(place, f"not an origin: {loaded.show(place, origin)}")


class _Preparation:
    """The judging of the names and options that plugins give a meaning to.

    It works on what was read, so that a file with other errors is judged too.
    """

    def __init__(self, draft: Draft, extra: Iterable[Plugin]) -> None:
        self._draft = draft
        self.problems: list[Problem] = []
        self.handlers: dict[int, list[HandlerChoice]] = {}
        self._plugin_of: dict[str, str] = {}
        self.ways: dict[str, tuple[type[Authenticator[Any]], BaseModel]] = {}
        self.way_plugins: dict[str, str] = {}
        self.plugin_options: dict[str, BaseModel] = {}
        self.broker: tuple[type[PluginBroker[Any]], BaseModel] | None = None
        self._plugin_uses = tuple(plugin_uses(draft))
        disabled = [use.name for use, enabled in self._plugin_uses if not enabled]
        self.manager = load_plugins(disabled, extra)

    def judge(self) -> None:
        """Find out what each name stands for; what is wrong is noted in `problems`."""
        given = self.manager.handlers()
        handlers = {name: cls for name, (_, cls) in given.items()}
        self._plugin_of = {name: plugin.name for name, (plugin, _) in given.items()}
        authenticators = self.manager.authenticators()
        ways = {name: cls for name, (_, cls) in authenticators.items()}
        self.way_plugins = {
            name: plugin.name
            for name, (plugin, _) in authenticators.items()
            if plugin.distribution != BUILT_IN
        }
        self._judge_plugins()
        self._judge_handlers(handlers)
        self._judge_ways(ways)
        self._judge_broker({name: cls for name, (_, cls) in self.manager.brokers().items()})
        named = {use.name for use, _ in self._plugin_uses}
        for problem in self.manager.problems:
            path = ("plugins", problem.plugin) if problem.plugin in named else ("plugins",)
            self.problems.append(self._draft.problem_at_key(path, str(problem)))

    def _judge_plugins(self) -> None:
        plugins = {plugin.name: plugin for plugin in self.manager.plugins if plugin.distribution != BUILT_IN}
        broken = {problem.plugin for problem in self.manager.problems}
        given = {use.name: use.options for use, _ in self._plugin_uses}
        known = {*plugins, *self.manager.installed}
        for use, _ in self._plugin_uses:
            if use.name not in known and use.name not in broken:
                hint = did_you_mean(use.name, known)
                message = f"plugin {use.name!r} is not installed"
                self.problems.append(self._draft.problem_at_key(use.place, message, hint))
                if hint in plugins and hint not in given:
                    model = self.manager.options_model(plugins[hint]) or Options
                    self._validate(use.options_place, model, use.options)
        for name, plugin in plugins.items():
            model = self.manager.options_model(plugin) or Options
            options = self._validate(("plugins", name, "options"), model, given.get(name, {}))
            if options is not None:
                self.plugin_options[name] = options

    def _judge_handlers(self, known: Mapping[str, type[Handler[Any]]]) -> None:
        for index, use in handler_uses(self._draft):
            cls = known.get(use.name)
            if cls is None:
                near = self._unknown("no installed plugin gives this handler", use, known)
                self._judge_as(use, known.get(near or ""))
                continue
            path = path_of(self._draft, index)
            for name in cls.required_params if path is not None else ():
                if f"{{{name}}}" not in str(path).split("/"):
                    message = f"handler {use.name!r} needs the parameter {{{name}}} in the route's path"
                    self.problems.append(self._draft.problem(use.place, message))
            options = self._validate(use.options_place, cls.options_model, use.options)
            if options is not None:
                self.handlers.setdefault(index, []).append(
                    HandlerChoice(use.name, cls, options, self._plugin_of.get(use.name, ""))
                )

    def _judge_ways(self, known: Mapping[str, type[Authenticator[Any]]]) -> None:
        for use in way_uses(self._draft):
            cls = known.get(use.name)
            if cls is None:
                near = self._unknown("no installed plugin gives this way to authenticate", use, known)
                if use.place == use.options_place:
                    self._judge_as(use, known.get(near or ""))
            elif use.name not in self.ways:
                # The settings of the built-in ways are the configuration's own, and judged with it.
                built_in = use.name in AuthenticationConfig.model_fields
                given = way_settings(self._draft).get(use.name) is not None
                judged = built_in and given and not isinstance(self._draft, Loaded)
                options = (
                    None if judged else self._validate(use.options_place, cls.options_model, use.options)
                )
                if options is not None:
                    self.ways[use.name] = (cls, options)

    def _judge_broker(self, known: Mapping[str, type[PluginBroker[Any]]]) -> None:
        use = broker_use(self._draft)
        if use is None:
            return
        cls = known.get(use.name)
        if cls is None:
            fact = "no installed plugin gives this broker"
            near = self._unknown(fact, use, {*known, *BUILT_IN_BROKERS})
            if near in BUILT_IN_BROKERS:
                self._validate(use.options_place, built_in_broker(near), {**use.options, "type": near})
            self._judge_as(use, known.get(near or ""))
            return
        if not getattr(cls, "keeps_history", False):
            for place in history_uses(self._draft):
                message = f"group keeps history, and the broker {use.name!r} cannot"
                advice = "leave history out, or set broker.type to memory, nats or valkey"
                self.problems.append(self._draft.problem(place, message, advice=advice))
        options = self._validate(use.options_place, cls.options_model, use.options)
        if options is not None:
            self.broker = (cls, options)

    def _unknown(self, fact: str, use: Use, known: Iterable[str]) -> str | None:
        """Note a name that nothing has; give the one that was probably meant."""
        message = f"{fact}: {self._draft.show(use.place, use.name)}"
        hint = did_you_mean(use.name, known)
        # A way's settings stand behind its name, which is a key there.
        is_key = use.place == use.options_place
        point = self._draft.problem_at_key if is_key else self._draft.problem
        self.problems.append(point(use.place, message, hint))
        return hint

    def _judge_as(
        self, use: Use, meant: type[Handler[Any] | Authenticator[Any] | PluginBroker[Any]] | None
    ) -> None:
        """Judge options by what was probably meant, so that their errors do not come one by one."""
        if meant is not None:
            self._validate(use.options_place, meant.options_model, use.options)

    def _validate(self, place: Path, model: type[BaseModel], given: Any) -> BaseModel | None:
        if self._draft.bad.intersection((place, place[:-1])):
            return None
        options, problems = validate_options(self._draft, place, model, given)
        self.problems += problems
        return options
