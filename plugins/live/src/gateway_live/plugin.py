"""The hooks of the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway import hookimpl
from gateway_live.figures import Figures
from gateway_live.handler import LiveHandler
from gateway_live.http import make_blueprint
from gateway_live.notes import NotesHandler
from gateway_live.options import PageOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sanic import Blueprint

    from gateway import Handler, Node, Options

__all__ = ["LivePlugin", "plugin"]


class LivePlugin:
    """The plugin: the handlers `live` and `notes`, the figures over HTTP, and the pages."""

    def __init__(self) -> None:
        self._options = PageOptions()

    @hookimpl
    def gateway_handlers(self) -> Mapping[str, type[Handler[Any]]]:
        """Name the handlers."""
        return {"live": LiveHandler, "notes": NotesHandler}

    @hookimpl
    def gateway_options(self) -> type[Options]:
        """Give the model of the plugin's options."""
        return PageOptions

    @hookimpl
    def gateway_configure(self, options: PageOptions) -> None:
        """Keep the options for the blueprint."""
        self._options = options

    @hookimpl
    def gateway_blueprints(self, node: Node) -> Sequence[Blueprint]:
        """Serve the figures and the pages."""
        return [make_blueprint(self._options, node)]

    @hookimpl
    def gateway_stop(self, node: Node) -> None:
        """Let go of the node's figures."""
        Figures.forget(node)


plugin: Final = LivePlugin()
"""What the entry point names."""
