"""`gateway plugins`: what is installed."""

from __future__ import annotations

from rich.table import Table

from gateway.app.prepare import load_plugins
from gateway.cli.common import fail, out
from gateway.plugin.manager import BUILT_IN

__all__ = ["plugins"]


def plugins() -> None:
    """List the installed plugins with the handlers and the ways to authenticate that they give."""
    manager = load_plugins()
    handlers = manager.handlers()
    ways = manager.authenticators()
    table = Table("plugin", "distribution", "version", "handlers", "ways to authenticate", box=None)
    for plugin in manager.plugins:
        own = plugin.distribution == BUILT_IN
        table.add_row(
            plugin.name,
            "(gateway)" if own else plugin.distribution,
            plugin.version,
            ", ".join(name for name, (owner, _) in handlers.items() if owner is plugin),
            ", ".join(name for name, (owner, _) in ways.items() if owner is plugin),
        )
    out().print(table)
    if manager.problems:
        fail("\n".join(map(str, manager.problems)))
