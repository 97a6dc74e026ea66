"""`gateway check`: judge gateway.yaml without serving it."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.cli.common import ConfigFile, out, prepare_or_exit

__all__ = ["check"]


def check(config: ConfigFile = Path("gateway.yaml")) -> None:
    """Judge gateway.yaml and the installed plugins; print all problems as file:line:column: path: message."""
    prepared = prepare_or_exit(config)
    for warning in prepared.warnings:
        typer.echo(str(warning), err=True)
    count = len(prepared.config.routes)
    out().print(f"{config}: good, {count} {'route' if count == 1 else 'routes'}")
