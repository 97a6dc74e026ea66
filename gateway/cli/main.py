"""The command line: its commands, and the version."""

from __future__ import annotations

from typing import Annotated

import typer

import gateway
from gateway.cli import check, config, connect, hash_token, new_plugin, plugins, routes, run, schema, worker

__all__ = ["app", "main"]

app = typer.Typer(
    name="gateway",
    help="A WebSocket gateway: pages update because the server pushes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("config")(config.config)
app.command("schema")(schema.schema)
app.command("plugins")(plugins.plugins)
app.command("routes")(routes.routes)
app.command("connect")(connect.connect)
app.command("new-plugin")(new_plugin.new_plugin)
app.command("hash-token")(hash_token.hash_token)
app.command("worker", hidden=True)(worker.worker)


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
