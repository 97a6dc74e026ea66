"""Finding plugins by their entry points, judging them, and asking them through typed methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from gateway.config.models.broker import BUILT_IN_BROKERS
from gateway.errors import GatewayError
from gateway.plugin import hookspecs
from gateway.plugin.authenticator import Authenticator
from gateway.plugin.broker import PluginBroker
from gateway.plugin.handler import Handler, Options
from gateway.plugin.judging import judge_value, one_line
from gateway.plugin.marker import PROJECT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from typing import TypeAlias

    import pydantic
    from sanic import Blueprint

    from gateway.core.node import Node

    Wait: TypeAlias = Callable[[str, str, Any], Awaitable[object]]

__all__ = ["BUILT_IN", "Plugin", "PluginManager", "PluginProblem"]

BUILT_IN = "gateway itself"


class PluginProblem(GatewayError):
    """Something that keeps a plugin from being used.

    Args:
        plugin: Its name.
        distribution: The installed distribution that it came in.
        fact: What is wrong, on one line.
    """

    def __init__(self, plugin: str, distribution: str, fact: str) -> None:
        super().__init__(f"plugin {plugin!r} of distribution {distribution!r}: {fact}")
        self.plugin = plugin
        self.distribution = distribution
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was found.

    Args:
        name: Of its entry point; what gateway.yaml calls it.
        distribution: The installed distribution that it came in.
        version: Of the distribution.
        value: The module or object that its entry point names.
    """

    name: str
    distribution: str
    version: str
    value: object

    def problem(self, fact: str) -> PluginProblem:
        """Make a problem of this plugin."""
        return PluginProblem(self.name, self.distribution, fact)


class PluginManager:
    """The plugins of a process. Nothing is loaded until `load` is called.

    Attributes:
        problems: What was found wrong, in the order of finding; the gateway refuses to start on any.
        installed: Names of all installed plugins, those left out and those with problems too.
    """

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self._started: list[Plugin] = []
        self.problems: list[PluginProblem] = []
        self.installed: frozenset[str] = frozenset()

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The registered plugins, in the order of their registration."""
        return tuple(self._plugins.values())

    # Finding and judging.

    def load(self, disabled: Collection[str] = ()) -> None:
        """Import and register every installed plugin whose name is not in `disabled`."""
        found = sorted(entry_points(group=PROJECT), key=lambda point: point.name)
        self.installed = frozenset(point.name for point in found)
        for entry_point in found:
            if entry_point.name not in disabled:
                self._load(entry_point)

    def _load(self, entry_point: EntryPoint) -> None:
        source = entry_point.dist
        name = (source.name if source is not None else None) or "unknown"
        version = source.version if source is not None else "unknown"
        try:
            value = entry_point.load()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever an import raises, it is this plugin's problem
            fact = f"{entry_point.value} cannot be imported: {one_line(exc)}"
            problem = PluginProblem(entry_point.name, name, fact)
            problem.__cause__ = exc
            self.problems.append(problem)
            return
        self.register(Plugin(entry_point.name, name, version, value))

    def register(self, plugin: Plugin) -> None:
        """Register a plugin, or note what is wrong with it."""
        facts = self._judge(plugin)
        if not facts:
            self._pluggy.register(plugin.value, name=plugin.name)
            self._plugins[plugin.name] = plugin
        self.problems += map(plugin.problem, facts)

    def _judge(self, plugin: Plugin) -> list[str]:
        taken = self._plugins.get(plugin.name)
        if taken is not None:
            return [f"its name is taken by {_origin(taken)}"]
        for other in self._plugins.values():
            if other.value == plugin.value:  # as pluggy compares them
                return [f"it is the same object as plugin {other.name!r} of {_origin(other)}"]
        return judge_value(plugin.value, self._pluggy)

    def _implementation(self, plugin: Plugin, hook: str) -> Callable[..., Any] | None:
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            if implementation.plugin is plugin.value:
                function: Callable[..., Any] = implementation.function
                return function
        return None

    # What plugins give.

    def handlers(self) -> dict[str, tuple[Plugin, type[Handler[Any]]]]:
        """Give every plugin's handlers by name; a name given twice is noted as a problem."""
        return self._named("gateway_handlers", Handler, "handler")

    def authenticators(self) -> dict[str, tuple[Plugin, type[Authenticator[Any]]]]:
        """Give every plugin's ways to authenticate by name; a name given twice is noted as a problem."""
        return self._named("gateway_authenticators", Authenticator, "way to authenticate")

    def brokers(self) -> dict[str, tuple[Plugin, type[PluginBroker[Any]]]]:
        """Give every plugin's brokers by name; a name that is taken is noted as a problem."""
        found = self._named("gateway_brokers", PluginBroker, "broker")
        for name in BUILT_IN_BROKERS.intersection(found):
            plugin, _ = found.pop(name)
            self.problems.append(plugin.problem(f"broker {name!r} is the gateway's own"))
        return found

    def _named(self, hook: str, base: type, what: str) -> dict[str, tuple[Plugin, Any]]:
        found: dict[str, tuple[Plugin, Any]] = {}
        for plugin in self._plugins.values():
            given = self._ask(plugin, hook)
            if given is not None and not isinstance(given, Mapping):
                fact = f"hook {hook} gave {_kind(given)}, not a mapping of names to classes"
                self.problems.append(plugin.problem(fact))
                continue
            for name, cls in (given or {}).items():
                if not isinstance(name, str) or not name:
                    fact = f"hook {hook} gave the name {name!r}, not a text"
                elif not (isinstance(cls, type) and issubclass(cls, base)):
                    fact = f"{what} {name!r} is {_kind(cls)}, not a subclass of gateway.{base.__name__}"
                elif name in found:
                    other = found[name][0]
                    fact = f"{what} {name!r} is also given by plugin {other.name!r} of {_origin(other)}"
                else:
                    found[name] = (plugin, cls)
                    continue
                self.problems.append(plugin.problem(fact))
        return found

    def options_model(self, plugin: Plugin) -> type[Options] | None:
        """Give the model of a plugin's options; `None` if it takes none."""
        model = self._ask(plugin, "gateway_options")
        if model is None or (isinstance(model, type) and issubclass(model, Options)):
            return model
        fact = f"hook gateway_options gave {_kind(model)}, not a subclass of gateway.Options"
        self.problems.append(plugin.problem(fact))
        return None

    def _ask(self, plugin: Plugin, hook: str) -> Any:
        function = self._implementation(plugin, hook)
        if function is None:
            return None
        try:
            return function()
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it is this plugin's problem
            self.problems.append(plugin.problem(f"hook {hook} failed: {one_line(exc)}"))
            return None

    # What plugins do, in a process that serves.

    def configure(self, plugin: Plugin, options: pydantic.BaseModel) -> None:
        """Hand a plugin its options.

        Raises:
            PluginProblem: If it fails.
        """
        self._call(plugin, "gateway_configure", options=options)

    def blueprints(self, node: Node) -> list[Blueprint]:
        """Give every plugin's blueprints.

        Raises:
            PluginProblem: If one fails.
        """
        return [one for plugin in self._plugins.values() for one in self.blueprints_of(plugin, node)]

    def blueprints_of(self, plugin: Plugin, node: Node) -> Sequence[Blueprint]:
        """Give a plugin's blueprints.

        Raises:
            PluginProblem: If it fails.
        """
        given: Sequence[Blueprint] | None = self._call(plugin, "gateway_blueprints", node=node)
        return () if given is None else given

    async def start(self, node: Node, wait: Wait) -> None:
        """Have each plugin begin its own work, in the order of registration.

        Args:
            node: The node.
            wait: Awaits what a hook gave, if it can be awaited, for as long as that may take: called with
                the plugin's name, the hook's and what it gave.

        Raises:
            PluginProblem: If one fails, or takes too long; those after it are not begun.
        """
        for plugin in self._plugins.values():
            await self._finish(plugin, "gateway_start", node, wait)
            self._started.append(plugin)

    async def stop(self, node: Node, wait: Wait) -> None:
        """Have each plugin that has begun end its work, last first; one that fails stops no other.

        Args:
            node: The node.
            wait: As for `start`.
        """
        while self._started:
            plugin = self._started.pop()
            try:
                await self._finish(plugin, "gateway_stop", node, wait)
            except PluginProblem as exc:
                node.log.error("plugin_stop_failed", plugin=plugin.name, exc_info=exc.__cause__)

    async def _finish(self, plugin: Plugin, hook: str, node: Node, wait: Wait) -> None:
        result = self._call(plugin, hook, node=node)
        try:
            await wait(plugin.name, f"hook {hook}", result)
        except Exception as exc:
            raise plugin.problem(f"hook {hook} failed: {one_line(exc)}") from exc

    def _call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        function = self._implementation(plugin, hook)
        if function is None:
            return None
        try:
            return _with_its_arguments(function)(**arguments)
        except (Exception, SystemExit) as exc:
            raise plugin.problem(f"hook {hook} failed: {one_line(exc)}") from exc

    def admission(self) -> list[tuple[str, Callable[..., Any]]]:
        """Give the plugins that have a say at the opening handshake, and their functions."""
        found = ((plugin, self._implementation(plugin, "gateway_admit")) for plugin in self._plugins.values())
        return [
            (plugin.name, _with_its_arguments(function)) for plugin, function in found if function is not None
        ]


def _origin(plugin: Plugin) -> str:
    return f"the {BUILT_IN}" if plugin.distribution == BUILT_IN else f"distribution {plugin.distribution!r}"


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an instance of {type(value).__name__}"


def _with_its_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that takes all of a hook's arguments and passes on those that the plugin asks for."""
    wanted = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in wanted):
        return function
    names = {parameter.name for parameter in wanted}

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        return function(**{name: value for name, value in arguments.items() if name in names})

    return call
