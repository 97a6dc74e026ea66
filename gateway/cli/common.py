"""What the commands share: the option for the file, and how errors are printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gateway.app import Prepared, prepare
from gateway.config import ConfigError

__all__ = ["ConfigFile", "fail", "out", "prepare_or_exit"]

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]


def out() -> Console:
    """Give the console for what a command has to say."""
    return Console(highlight=False, soft_wrap=True)


def fail(message: str) -> NoReturn:
    """Print what is wrong, and exit with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def prepare_or_exit(path: Path) -> Prepared:
    """Judge the configuration; if it has errors, print each on a line of its own and exit with status 1."""
    try:
        return prepare(path)
    except ConfigError as exc:
        fail(str(exc))
