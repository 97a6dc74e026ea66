"""The plugin as the gateway finds it."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from gateway_live import LiveHandler, LivePlugin, NotesHandler, PageOptions, plugin
from gateway_live.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served


def test_entry_point_names_the_plugin() -> None:
    """Installing the distribution is all that it takes."""
    (entry,) = entry_points(group="gateway", name="live")
    assert entry.load() is plugin


def test_hooks_name_handler_and_options() -> None:
    """The gateway learns the handlers' names and the model of the options."""
    assert LivePlugin().gateway_handlers() == {"live": LiveHandler, "notes": NotesHandler}
    assert LivePlugin().gateway_options() is PageOptions


async def test_stopped_node_leaves_nothing(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """The figures of a node go with it."""
    served = await serve_gateway("routes: [{path: /live, handlers: [live]}]\n")
    figures = Figures.of(served.node)
    await served.gateway.stop()
    assert Figures.of(served.node) is not figures
    Figures.forget(served.node)
