"""`gateway plugins`: what is installed."""

from __future__ import annotations

from rich.table import Table

import gateway
from gateway.app.prepare import load_plugins
from gateway.cli.common import fail, out
from gateway.plugin.manager import BUILT_IN

__all__ = ["plugins"]


def plugins() -> None:
    """List the installed plugins with the handlers and the ways to authenticate that they give."""
    manager = load_plugins()
    handlers = manager.handlers()
    ways = manager.authenticators()
    table = Table(box=None, pad_edge=False)
    for heading in ("plugin", "distribution", "version", "handlers", "ways to authenticate"):
        table.add_column(heading, overflow="fold")
    for plugin in manager.plugins:
        manager.options_model(plugin)
        table.add_row(
            plugin.name,
            "(the gateway)" if plugin.distribution == BUILT_IN else plugin.distribution,
            plugin.version or gateway.__version__,
            ", ".join(name for name, (owner, _) in handlers.items() if owner is plugin),
            ", ".join(name for name, (owner, _) in ways.items() if owner is plugin),
        )
    out().print(table, soft_wrap=False)
    if manager.problems:
        fail("\n".join(map(str, manager.problems)))
