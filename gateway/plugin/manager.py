"""Finding plugins by their entry points, judging them, and asking them through typed methods."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from gateway.errors import GatewayError
from gateway.plugin import hookspecs
from gateway.plugin.authenticator import Authenticator
from gateway.plugin.handler import Handler, Options
from gateway.plugin.marker import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sanic import Blueprint

    from gateway.core.node import Node

__all__ = ["BUILT_IN", "Plugin", "PluginManager", "PluginProblem"]

BUILT_IN = "gateway itself"


class PluginProblem(GatewayError):
    """Something that keeps a plugin from being used.

    Args:
        plugin: Its name.
        distribution: The installed distribution that it came in.
        fact: What is wrong.
    """

    def __init__(self, plugin: str, distribution: str, fact: str) -> None:
        super().__init__(f"plugin {plugin!r} of distribution {distribution!r}: {fact}")
        self.plugin = plugin
        self.distribution = distribution
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was found and registered."""

    name: str
    distribution: str
    version: str
    value: object


class PluginManager:
    """The plugins of a process. Nothing is loaded until `load` is called.

    Attributes:
        problems: What was found wrong, in the order of finding; the gateway refuses to start on any.
    """

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self.problems: list[PluginProblem] = []

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The registered plugins, in the order of their registration."""
        return tuple(self._plugins.values())

    def load(self, disabled: Collection[str] = ()) -> None:
        """Import and register every installed plugin whose name is not in `disabled`."""
        for entry_point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
            if entry_point.name not in disabled:
                self._load(entry_point)
        self._find_unknown_hooks()

    def _load(self, entry_point: EntryPoint) -> None:
        distribution = entry_point.dist.name if entry_point.dist is not None else "unknown"
        version = entry_point.dist.version if entry_point.dist is not None else "unknown"
        taken = self._plugins.get(entry_point.name)
        if taken is not None:
            if taken.distribution == distribution:
                return  # one distribution seen twice on the path, as with an editable install
            fact = f"its name is taken by distribution {taken.distribution!r}"
            self.problems.append(PluginProblem(entry_point.name, distribution, fact))
            return
        try:
            value = entry_point.load()
        except Exception as exc:  # noqa: BLE001 - whatever an import raises, it is this plugin's problem
            fact = f"it cannot be imported: {type(exc).__name__}: {exc}"
            self.problems.append(PluginProblem(entry_point.name, distribution, fact))
            return
        self.register(Plugin(entry_point.name, distribution, version, value))

    def register(self, plugin: Plugin) -> None:
        """Register a plugin; a hook whose signature is wrong is noted as a problem."""
        try:
            self._pluggy.register(plugin.value, name=plugin.name)
        except pluggy.PluginValidationError as exc:
            fact = str(exc).splitlines()[-1].strip() or "a hook has a wrong signature"
            names = [name for name in dir(plugin.value) if name.startswith("gateway_") and name in str(exc)]
            fact = f"hook {names[0]} has a wrong signature: {fact}" if names else fact
            self.problems.append(PluginProblem(plugin.name, plugin.distribution, fact))
            return
        except ValueError as exc:
            self.problems.append(PluginProblem(plugin.name, plugin.distribution, str(exc)))
            return
        self._plugins[plugin.name] = plugin

    def _find_unknown_hooks(self) -> None:
        for plugin in self._plugins.values():
            for caller in self._pluggy.get_hookcallers(plugin.value) or ():
                if not caller.has_spec():
                    fact = f"there is no hook {caller.name}"
                    self.problems.append(PluginProblem(plugin.name, plugin.distribution, fact))

    def _implementation(self, plugin: Plugin, hook: str) -> Callable[..., Any] | None:
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            if implementation.plugin is plugin.value:
                function: Callable[..., Any] = implementation.function
                return function
        return None

    def handlers(self) -> dict[str, tuple[Plugin, type[Handler[Any]]]]:
        """Give every plugin's handlers by name; a name given twice is noted as a problem."""
        return self._named("gateway_handlers", Handler, "handler")

    def authenticators(self) -> dict[str, tuple[Plugin, type[Authenticator[Any]]]]:
        """Give every plugin's ways to authenticate by name; a name given twice is noted as a problem."""
        return self._named("gateway_authenticators", Authenticator, "way to authenticate")

    def _named(self, hook: str, base: type, what: str) -> dict[str, tuple[Plugin, Any]]:
        found: dict[str, tuple[Plugin, Any]] = {}
        for plugin in self._plugins.values():
            for name, cls in dict(self._ask(plugin, hook) or {}).items():
                if not (isinstance(cls, type) and issubclass(cls, base)):
                    fact = f"{what} {name!r} is not a subclass of gateway.{base.__name__}"
                elif name in found:
                    fact = f"{what} {name!r} is also given by plugin {found[name][0].name!r}"
                else:
                    found[name] = (plugin, cls)
                    continue
                self.problems.append(PluginProblem(plugin.name, plugin.distribution, fact))
        return found

    def options_model(self, plugin: Plugin) -> type[Options] | None:
        """Give the model of a plugin's options; `None` if it takes none."""
        model = self._ask(plugin, "gateway_options")
        if model is None or (isinstance(model, type) and issubclass(model, Options)):
            return model
        fact = "gateway_options does not give a subclass of gateway.Options"
        self.problems.append(PluginProblem(plugin.name, plugin.distribution, fact))
        return None

    def _ask(self, plugin: Plugin, hook: str) -> Any:
        function = self._implementation(plugin, hook)
        if function is None:
            return None
        try:
            return function()
        except Exception as exc:  # noqa: BLE001 - a plugin's code: it is this plugin's problem
            fact = f"{hook} failed: {type(exc).__name__}: {exc}"
            self.problems.append(PluginProblem(plugin.name, plugin.distribution, fact))
            return None

    def configure(self, plugin: Plugin, options: Options) -> None:
        """Hand a plugin its options."""
        function = self._implementation(plugin, "gateway_configure")
        if function is not None:
            _call(function, options=options)

    def blueprints(self, node: Node) -> list[Blueprint]:
        """Give every plugin's blueprints."""
        results: Iterable[Sequence[Blueprint]] = self._pluggy.hook.gateway_blueprints(node=node)
        return [blueprint for blueprints in results for blueprint in blueprints]

    async def start(self, node: Node) -> None:
        """Have each plugin begin its own work, in the order of registration."""
        for plugin in self._plugins.values():
            await self._await(plugin, "gateway_start", node)

    async def stop(self, node: Node) -> None:
        """Have each plugin end its own work, in the reverse order; one that fails does not stop the others."""
        for plugin in reversed(self._plugins.values()):
            try:
                await self._await(plugin, "gateway_stop", node)
            except Exception as exc:  # noqa: BLE001 - a plugin's code at the end: reported, and the others follow
                node.log.error("plugin_stop_failed", plugin=plugin.name, exc_info=exc)

    async def _await(self, plugin: Plugin, hook: str, node: Node) -> None:
        function = self._implementation(plugin, hook)
        if function is not None:
            result = _call(function, node=node)
            if inspect.isawaitable(result):
                await result

    def admission(self) -> list[tuple[str, Callable[..., Any]]]:
        """Give the plugins that have a say at the opening handshake, and their functions."""
        found = ((plugin, self._implementation(plugin, "gateway_admit")) for plugin in self._plugins.values())
        return [(plugin.name, function) for plugin, function in found if function is not None]


def _call(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a hook with those of the arguments that it takes, as pluggy does."""
    wanted = inspect.signature(function).parameters
    return function(**{name: value for name, value in arguments.items() if name in wanted})
