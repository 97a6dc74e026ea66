"""`gateway reload`: have the gateway that runs serve what gateway.yaml says now."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import typer

from gateway.cli.asking import ask_or_exit
from gateway.cli.common import ConfigFile, out

__all__ = ["reload"]


def reload(config: ConfigFile = Path("gateway.yaml")) -> None:
    """Have the running gateway serve what gateway.yaml says now, without refusing anybody meanwhile.

    New workers start and accept before the old ones drain. If anything is wrong, it goes on as before.
    """
    with closing(ask_or_exit(config, do="reload")) as answer:
        told = answer.told
    for line in told["problems"]:
        typer.echo(line, err=True)
    if not told["good"]:
        typer.echo("not reloaded: the gateway goes on as before", err=True)
        raise typer.Exit(1)
    for line in told["changes"] or ["nothing changes"]:
        out().print(line)
    out().print(f"reloaded in {told['seconds']:.1f} seconds")
