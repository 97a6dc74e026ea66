"""The command line: its commands, and the version."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

import gateway

__all__ = ["app", "main"]

# Each command is the function of this name, with `_` for `-`, in the module of this name in `gateway.cli`.
_COMMANDS: Final = (
    "run",
    "dev",
    "reload",
    "stop",
    "status",
    "check",
    "config",
    "schema",
    "plugins",
    "routes",
    "connect",
    "who",
    "publish",
    "kick",
    "new-plugin",
    "hash-token",
)
_HIDDEN: Final = ("generation", "judge", "worker")


class _Commands(TyperGroup):
    """The commands. A module is imported when its command is asked for: all together take a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give their names."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give the command of a name; `None` if there is none."""
        del ctx
        if cmd_name not in {*_COMMANDS, *_HIDDEN}:
            return None
        name = cmd_name.replace("-", "_")
        alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        function = getattr(import_module(f"gateway.cli.{name}"), name)
        alone.command(cmd_name, hidden=cmd_name in _HIDDEN)(function)
        return typer.main.get_command(alone)


app = typer.Typer(
    name="gateway",
    cls=_Commands,
    help="A WebSocket gateway: pages update because the server pushes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gateway {gateway.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line."""
    app()
