"""What the commands share: the option for the file, and how things are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from gateway.cli.telling import as_text
from gateway.config import ConfigError
from gateway.config.syntax import read_text

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared

__all__ = ["ConfigFile", "fail", "out", "prepare_or_exit", "printable", "read_or_exit"]

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]


def out() -> Console:
    """Give the console for what a command has to say: texts appear as they are, and are never cut off."""
    # Rich would take `[fe80::1]` for markup, and `:on:` in a path for an emoji.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 10_000
    return console


def printable(text: str) -> str:
    """Give a text with everything escaped that a terminal may take for an order."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def fail(message: str) -> NoReturn:
    """Print what is wrong, and exit with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def read_or_exit(path: Path) -> str:
    """Read the configuration; if that fails, print why and exit with status 1."""
    try:
        return read_text(path)
    except ConfigError as exc:
        fail(as_text(exc.problems))


def prepare_or_exit(path: Path, text: str | None = None) -> Prepared:
    """Judge the configuration; if it has errors, print each on a line of its own and exit with status 1.

    Args:
        path: The file.
        text: What the file says, if it has been read already.
    """
    # Most of what a gateway is, and nothing for who only reads the file.
    from gateway.app.prepare import prepare  # noqa: PLC0415

    try:
        return prepare(path, text=text)
    except ConfigError as exc:
        fail(as_text(exc.problems))
