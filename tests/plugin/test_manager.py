"""Tests of the manager: finding plugins by their entry points, and refusing those that cannot be used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, GatewayError, Handler, Options, PluginBroker, hookimpl
from gateway.plugin.manager import BUILT_IN, Plugin, PluginManager, PluginProblem

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = """
    import gateway

    class Shout(gateway.Handler): ...

    @gateway.hookimpl
    def gateway_handlers():
        return {"shout": Shout}
"""


LOUD = "plugin 'loud' of distribution 'loud-plugin': "
SHOUT = "plugin 'shout' of distribution 'shout-plugin': "


def loaded(*names: str, disabled: tuple[str, ...] = ()) -> tuple[PluginManager, list[str]]:
    """Load what is installed; give the manager, and what it says about the plugins named."""
    manager = PluginManager()
    manager.load(disabled)
    manager.handlers()
    for plugin in manager.plugins:
        manager.options_model(plugin)
    return manager, [str(problem) for problem in manager.problems if problem.plugin in names]


def facts(manager: PluginManager) -> list[str]:
    """Give the problems, each with the plugin that has it."""
    return [f"{problem.plugin}: {problem.fact}" for problem in manager.problems]


class TestFinding:
    """Plugins are found by the entry points of installed distributions."""

    def test_an_installed_plugin_is_found(self, install: Callable[..., None]) -> None:
        """The plugin has the entry point's name, its distribution's name and version, and its handlers."""
        install("shout-plugin", {"shout": "shouting"}, shouting=GOOD)
        manager, problems = loaded("shout")
        assert problems == []
        plugin, handler = manager.handlers()["shout"]
        assert (plugin.name, plugin.distribution, plugin.version) == ("shout", "shout-plugin", "1.2")
        assert issubclass(handler, Handler)
        assert handler.__module__ == "shouting"

    def test_an_entry_point_may_name_an_object(self, install: Callable[..., None]) -> None:
        """An object of a module is a plugin as the module itself is."""
        source = """
            import gateway

            class Shouting:
                @gateway.hookimpl
                def gateway_handlers(self):
                    return {"shout": gateway.Handler}

            plugin = Shouting()
        """
        install("shout-plugin", {"shout": "shouting:plugin"}, shouting=source)
        manager, problems = loaded("shout")
        assert problems == []
        assert manager.handlers()["shout"][1] is Handler

    def test_one_distribution_seen_twice_on_the_path_is_one(
        self, install: Callable[..., None], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A distribution that two folders of the path show, as after an upgrade in a layer, is no clash."""
        install("shout-plugin", {"shout": "shouting"}, shouting=GOOD)
        copy = tmp_path / "layer" / "shout_plugin-1.1.dist-info"
        copy.mkdir(parents=True)
        (copy / "METADATA").write_text("Metadata-Version: 2.1\nName: shout_plugin\nVersion: 1.1\n")
        (copy / "entry_points.txt").write_text("[gateway]\nshout = shouting\n")
        monkeypatch.syspath_prepend(copy.parent)
        manager, problems = loaded("shout")
        assert problems == []
        assert manager.handlers()["shout"][0].version == "1.1"

    def test_a_disabled_plugin_is_not_even_imported(self, install: Callable[..., None]) -> None:
        """A plugin that is switched off costs nothing and breaks nothing, but is known to be installed."""
        install("shout-plugin", {"shout": "shouting"}, shouting="raise RuntimeError('imported')")
        manager, problems = loaded("shout", disabled=("shout",))
        assert problems == []
        assert "shout" not in [plugin.name for plugin in manager.plugins]
        assert "shout" in manager.installed

    def test_the_shipped_plugins_are_installed(self) -> None:
        """The plugins of the repository are found in its environment, by their own distributions."""
        manager, problems = loaded("echo", "live", "chat", "webhook")
        assert problems == []
        found = {plugin.name: plugin.distribution for plugin in manager.plugins}
        assert found == {name: f"gateway-{name}" for name in ("chat", "echo", "live", "webhook")}


class TestRefusing:
    """A plugin with anything wrong is not used, and the problem names it and its distribution."""

    def test_two_distributions_with_one_plugin_name(self, install: Callable[..., None]) -> None:
        """A taken name is refused, and both distributions are named."""
        install("loud-plugin", {"shout": "loud"}, loud=GOOD)
        install("shout-plugin", {"shout": "shouting"}, shouting=GOOD)
        manager, problems = loaded("shout")
        assert problems == [
            "plugin 'shout' of distribution 'loud-plugin': its name is taken by distribution 'shout-plugin'"
        ]
        assert manager.handlers()["shout"][0].distribution == "shout-plugin"

    def test_a_name_of_the_gateways_own(self, plugin_of: Callable[..., Any]) -> None:
        """A plugin cannot take the name of the gateway's own one."""
        manager = PluginManager()
        good = plugin_of(gateway_start=lambda: None)
        manager.register(Plugin("builtin", BUILT_IN, "", good))
        manager.register(Plugin("builtin", "shout-plugin", "1", plugin_of(gateway_start=lambda: None)))
        assert facts(manager) == ["builtin: its name is taken by the gateway itself"]

    def test_two_names_for_one_object(self, install: Callable[..., None]) -> None:
        """Two entry points with one value would have every hook called for one of them only."""
        install("shout-plugin", {"loud": "shouting", "shout": "shouting"}, shouting=GOOD)
        _, problems = loaded("loud", "shout")
        assert problems == [SHOUT + "it is the same object as plugin 'loud' of distribution 'shout-plugin'"]

    def test_two_plugins_with_one_handler_name(self, install: Callable[..., None]) -> None:
        """A handler name that two plugins give is refused, and both plugins and distributions are named."""
        install("loud-plugin", {"loud": "loud"}, loud=GOOD)
        install("shout-plugin", {"shout": "shouting"}, shouting=GOOD)
        _, problems = loaded("loud", "shout")
        assert problems == [
            SHOUT + "handler 'shout' is also given by plugin 'loud' of distribution 'loud-plugin'"
        ]

    def test_the_name_of_a_broker_of_the_gateways_own(
        self, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
    ) -> None:
        """Nobody gets another broker than the one that the file names; others are found."""

        class Carrier(PluginBroker): ...

        def brokers() -> Any:
            return {"nats": Carrier, "redis": Carrier, "carrier": Carrier}

        manager = manager_of(plugin_of(gateway_brokers=brokers))
        assert list(manager.brokers()) == ["carrier"]
        assert sorted(facts(manager)) == [
            "p0: broker 'nats' is the gateway's own",
            "p0: broker 'redis' is the gateway's own",
        ]

    def test_two_plugins_with_one_way_to_authenticate(
        self, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
    ) -> None:
        """The name of a way to authenticate is taken once, too."""

        class Way(Authenticator): ...

        def ways() -> Any:
            return {"token": Way}

        manager = manager_of(plugin_of(gateway_authenticators=ways), plugin_of(gateway_authenticators=ways))
        assert manager.authenticators()["token"][0].name == "p0"
        assert facts(manager) == [
            "p1: way to authenticate 'token' is also given by plugin 'p0' of distribution 'dist-0'"
        ]

    @pytest.mark.parametrize(
        ("source", "fact"),
        [
            ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
            ("raise ValueError('several\\n  lines')", "ValueError: several lines"),
            ("raise SystemExit(3)", "SystemExit: 3"),
            ("def broken(", "SyntaxError: '(' was never closed (shouting.py, line 1)"),
        ],
        ids=["missing", "raises", "exits", "syntax"],
    )
    def test_an_import_that_fails(self, install: Callable[..., None], source: str, fact: str) -> None:
        """Whatever an import raises is this plugin's problem, on one line, and the others are found."""
        install("shout-plugin", {"shout": "shouting"}, shouting=source)
        manager, problems = loaded("shout")
        assert problems == [f"{SHOUT}shouting cannot be imported: {fact}"]
        assert "echo" in [plugin.name for plugin in manager.plugins]

    def test_an_entry_point_that_names_nothing(self, install: Callable[..., None]) -> None:
        """An entry point whose module or attribute does not exist is refused."""
        install("loud-plugin", {"loud": "nowhere"})
        install("shout-plugin", {"shout": "shouting:plugin"}, shouting=GOOD)
        _, problems = loaded("loud", "shout")
        missing = "AttributeError: module 'shouting' has no attribute 'plugin'"
        assert problems == [
            LOUD + "nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
            f"{SHOUT}shouting:plugin cannot be imported: {missing}",
        ]

    def test_a_misspelt_hook(self, install: Callable[..., None]) -> None:
        """A hook that does not exist is refused at loading, not passed over."""
        source = GOOD + "\n    @gateway.hookimpl\n    def gateway_sart(node): ...\n"
        install("shout-plugin", {"shout": "shouting"}, shouting=source)
        _, problems = loaded("shout")
        assert problems == [SHOUT + "there is no hook gateway_sart (did you mean 'gateway_start'?)"]

    def test_a_wrong_signature(self, install: Callable[..., None]) -> None:
        """A hook that asks for what it is not given is refused, and hook and argument are named."""
        source = GOOD + "\n    @gateway.hookimpl\n    def gateway_start(nod): ...\n"
        install("shout-plugin", {"shout": "shouting"}, shouting=source)
        manager, problems = loaded("shout")
        assert problems == [SHOUT + "hook gateway_start has no argument 'nod', known: node"]
        assert "shout" not in [plugin.name for plugin in manager.plugins]

    def test_every_fault_of_a_plugin_is_told(self, manager_of: Callable[..., PluginManager]) -> None:
        """Two faults of one plugin are two problems."""

        @hookimpl
        def gateway_start(nod: Any) -> None: ...

        @hookimpl
        def gateway_stpo() -> None: ...

        manager = manager_of(SimpleNamespace(gateway_start=gateway_start, gateway_stpo=gateway_stpo))
        assert [problem.fact.split(" (")[0] for problem in manager.problems] == [
            "hook gateway_start has no argument 'nod', known: node",
            "there is no hook gateway_stpo",
        ]

    @pytest.mark.parametrize(
        ("given", "fact"),
        [
            ({"shout": int}, "handler 'shout' is the class int, not a subclass of gateway.Handler"),
            (
                {"shout": Handler(Options())},
                "handler 'shout' is an instance of Handler, not a subclass of gateway.Handler",
            ),
            ({3: Handler}, "hook gateway_handlers gave the name 3, not a text"),
            ({"": Handler}, "hook gateway_handlers gave the name '', not a text"),
            ([Handler], "hook gateway_handlers gave an instance of list, not a mapping of names to classes"),
            (Handler, "hook gateway_handlers gave the class Handler, not a mapping of names to classes"),
        ],
        ids=["class", "instance", "number", "empty", "list", "bare"],
    )
    def test_handlers_that_are_none(
        self, given: Any, fact: str, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
    ) -> None:
        """What is no handler with a name is refused; the plugin's other handlers are known."""
        manager = manager_of(plugin_of(gateway_handlers=lambda: given))
        assert manager.handlers() == {}
        assert facts(manager) == [f"p0: {fact}"]

    def test_an_options_model_that_is_none(
        self, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
    ) -> None:
        """A plugin's options are a subclass of `gateway.Options`, whose unknown keys are errors."""
        manager = manager_of(plugin_of(gateway_options=lambda: dict))
        assert manager.options_model(manager.plugins[0]) is None
        expected = "p0: hook gateway_options gave the class dict, not a subclass of gateway.Options"
        assert facts(manager) == [expected]

    @pytest.mark.parametrize("hook", ["gateway_handlers", "gateway_authenticators", "gateway_options"])
    def test_a_hook_that_raises_when_it_is_asked(
        self, hook: str, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
    ) -> None:
        """A hook that fails at check time is a problem, not a traceback."""

        def fail() -> Any:
            raise KeyError("PATH")

        manager = manager_of(plugin_of(**{hook: fail}))
        manager.handlers()
        manager.authenticators()
        manager.options_model(manager.plugins[0])
        assert facts(manager) == [f"p0: hook {hook} failed: KeyError: 'PATH'"]

    def test_a_problem_carries_what_it_knows(self) -> None:
        """A problem is one of the gateway's errors, with plugin, distribution and fact apart."""
        problem = PluginProblem("shout", "shout-plugin", "it is too loud")
        assert isinstance(problem, GatewayError)
        assert (problem.plugin, problem.distribution, problem.fact) == (
            "shout",
            "shout-plugin",
            "it is too loud",
        )
