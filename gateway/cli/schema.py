"""`gateway schema`: what gateway.yaml may hold, for editors and for people."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from gateway.app.schema import schema_with_plugins
from gateway.config.reference import reference

__all__ = ["schema"]


class Form(StrEnum):
    """In which form the keys are printed."""

    JSON = "json"
    MARKDOWN = "markdown"


def schema(
    form: Annotated[
        Form, typer.Option("--format", help="A JSON Schema for editors, or Markdown for people.")
    ] = Form.JSON,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            help="Only with this plugin's options; may be repeated. Default: all that are installed."
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of gateway.yaml (draft 2020-12) with the options of the installed plugins."""
    if form is Form.MARKDOWN:
        typer.echo(reference(), nl=False)
    else:
        typer.echo(json.dumps(schema_with_plugins(plugin), ensure_ascii=False, indent=1))
