"""`gateway routes`: what gateway.yaml serves."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from gateway.cli.common import ConfigFile, out, prepare_or_exit

__all__ = ["routes"]


def routes(config: ConfigFile = Path("gateway.yaml")) -> None:
    """List the routes of gateway.yaml with their handlers, origins, authentication and groups."""
    prepared = prepare_or_exit(config)
    table = Table("path", "name", "handlers", "origins", "authenticate", "groups", box=None)
    for route in prepared.config.routes:
        origins = "its own" if route.allowed_origins is None else ", ".join(route.allowed_origins)
        table.add_row(
            route.path,
            route.name,
            ", ".join(use.name for use in route.handlers),
            f"{origins} or none" if route.allow_missing_origin else origins,
            ", ".join(route.authenticate) or "anyone",
            ", ".join(route.groups),
        )
    out().print(table)
