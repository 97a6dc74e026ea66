"""Tests of how the manager asks plugins: with what they want, in order, and whatever fails."""

from __future__ import annotations

import inspect
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Node, Options
from gateway.broker.memory import MemoryBroker
from gateway.observe.logs import make_logger
from gateway.plugin.manager import PluginManager, PluginProblem

if TYPE_CHECKING:
    from collections.abc import Callable


async def wait(plugin: str, hook: str, result: Any) -> None:
    """Await what a hook gave, for as long as it takes."""
    assert plugin
    assert hook.startswith("hook gateway_")
    if inspect.isawaitable(result):
        await result


@pytest.fixture
async def log() -> io.StringIO:
    """Where the node's log lines go."""
    return io.StringIO()


@pytest.fixture
async def node(log: io.StringIO) -> Any:
    """A node."""
    node = Node(MemoryBroker(), make_logger("debug", "json", log))
    yield node
    await node.stop()


def test_a_plugin_without_a_hook_is_passed_over(
    manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """A plugin takes no options and gives no handlers unless it says so."""
    manager = manager_of(plugin_of(gateway_start=lambda: None))
    assert manager.options_model(manager.plugins[0]) is None
    assert manager.handlers() == {}
    assert manager.admission() == []
    manager.configure(manager.plugins[0], Options())
    assert manager.problems == []


async def test_hooks_get_all_or_fewer_of_their_arguments(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """A hook is called with what its parameters name."""
    got: list[Any] = []
    value = plugin_of(
        gateway_start=lambda node: got.append(("start", node)),
        gateway_stop=lambda: got.append("stop"),
        gateway_configure=lambda **anything: got.append(anything),
        gateway_admit=lambda: got.append("admit"),
    )
    manager = manager_of(value)
    options = Options()
    manager.configure(manager.plugins[0], options)
    await manager.start(node, wait)
    ((name, admit),) = manager.admission()
    admit(opening=None)
    await manager.stop(node, wait)
    assert name == "p0"
    assert got == [{"options": options}, ("start", node), "admit", "stop"]


async def test_start_goes_up_and_stop_goes_down(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """Plugins begin in the order of their registration and end in the reverse, plain and async alike."""
    order: list[str] = []

    def plain(index: int) -> object:
        return plugin_of(
            gateway_start=lambda: order.append(f"start {index}"),
            gateway_stop=lambda: order.append(f"stop {index}"),
        )

    async def start() -> None:
        order.append("start 1")

    async def stop() -> None:
        order.append("stop 1")

    manager = manager_of(plain(0), plugin_of(gateway_start=start, gateway_stop=stop), plain(2))
    await manager.start(node, wait)
    await manager.stop(node, wait)
    assert order == ["start 0", "start 1", "start 2", "stop 2", "stop 1", "stop 0"]


@pytest.mark.parametrize("form", ["plain", "async"])
async def test_a_stop_that_raises_stops_no_other(
    node: Node,
    log: io.StringIO,
    form: str,
    manager_of: Callable[..., PluginManager],
    plugin_of: Callable[..., Any],
) -> None:
    """A plugin that fails at its end is logged with its traceback, and the others end."""
    order: list[str] = []

    def plain() -> None:
        raise RuntimeError("stuck")

    async def waiting() -> None:
        plain()

    failing = plugin_of(gateway_stop=plain if form == "plain" else waiting)
    manager = manager_of(plugin_of(gateway_stop=lambda: order.append("first")), failing)
    await manager.start(node, wait)
    await manager.stop(node, wait)
    assert order == ["first"]
    (line,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (line["event"], line["level"], line["plugin"]) == ("plugin_stop_failed", "error", "p1")
    assert "RuntimeError: stuck" in line["exception"]


async def test_a_start_that_raises_leaves_the_others_unbegun(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """When a plugin fails at its start, only those that have begun are ended."""
    order: list[str] = []

    async def failing() -> None:
        raise OSError("no such device")

    manager = manager_of(
        plugin_of(gateway_start=lambda: order.append("start"), gateway_stop=lambda: order.append("stop")),
        plugin_of(gateway_start=failing, gateway_stop=lambda: order.append("never")),
        plugin_of(gateway_start=lambda: order.append("never"), gateway_stop=lambda: order.append("never")),
    )
    with pytest.raises(PluginProblem) as caught:
        await manager.start(node, wait)
    await manager.stop(node, wait)
    assert order == ["start", "stop"]
    expected = "plugin 'p1' of distribution 'dist-1': hook gateway_start failed: OSError: no such device"
    assert str(caught.value) == expected
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_stop_is_called_once(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """Stopping twice ends each plugin once."""
    order: list[str] = []
    manager = manager_of(plugin_of(gateway_stop=lambda: order.append("stop")))
    await manager.start(node, wait)
    await manager.stop(node, wait)
    await manager.stop(node, wait)
    assert order == ["stop"]


async def test_a_configure_or_blueprints_hook_that_raises_is_named(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """A hook that fails while the gateway starts names itself and its distribution."""

    def fail() -> Any:
        raise ValueError("cannot")

    manager = manager_of(plugin_of(gateway_configure=fail), plugin_of(gateway_blueprints=fail))
    with pytest.raises(PluginProblem, match="'dist-0': hook gateway_configure failed: ValueError: cannot"):
        manager.configure(manager.plugins[0], Options())
    with pytest.raises(PluginProblem, match="'dist-1': hook gateway_blueprints failed: ValueError: cannot"):
        manager.blueprints(node)


async def test_blueprints_come_in_the_order_of_the_plugins(
    node: Node, manager_of: Callable[..., PluginManager], plugin_of: Callable[..., Any]
) -> None:
    """Blueprints of all plugins are given in one list; a plugin may give none."""
    first: Any = object()
    second: Any = object()
    manager = manager_of(
        plugin_of(gateway_blueprints=lambda: [first]),
        plugin_of(gateway_blueprints=lambda: None),
        plugin_of(gateway_blueprints=lambda: [second]),
    )
    assert manager.blueprints(node) == [first, second]
