"""`gateway dev`: serve for the author of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import ConfigFile  # noqa: TC001  (typer evaluates annotations)
from gateway.cli.developing import Development

__all__ = ["dev"]


def dev(
    config: ConfigFile = Path("gateway.yaml"),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Instead of listen.port; 0 takes a free one.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show messages.")] = False,
) -> None:
    """Serve gateway.yaml while plugins are written: on this machine only, in one process.

    After each change of the file, or of a plugin's code, it serves what is there now; what is broken is
    shown, and the next change awaited. Each message is shown as it passes. Ctrl-C ends it.
    """
    raise typer.Exit(Development(config, port, quiet=quiet).run())
