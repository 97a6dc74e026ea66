"""`gateway config`: the configuration that holds, and where each value comes from."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from gateway.app.effective import Leaf, Listing, Section, as_data, effective, shown
from gateway.cli.common import ConfigFile, fail
from gateway.cli.telling import as_text
from gateway.config import ConfigError, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.app.effective import Part

__all__ = ["config"]

_COMMENTS_AT = 50


class Form(StrEnum):
    """In which form the configuration is printed."""

    YAML = "yaml"
    JSON = "json"


def config(
    file: ConfigFile = Path("gateway.yaml"),
    form: Annotated[Form, typer.Option("--format", help="YAML with comments, or JSON.")] = Form.YAML,
) -> None:
    """Print every value that holds, and where it comes from: file, environment, or default. No secrets."""
    try:
        whole = effective(load_config(file, os.environ))
    except ConfigError as exc:
        fail(as_text(exc.problems))
    if form is Form.JSON:
        typer.echo(json.dumps(as_data(whole), ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(_lines(whole, "")))


def _lines(section: Section, indent: str) -> Iterator[str]:
    for key, part in section.parts.items():
        yield from _under(f"{indent}{_scalar(key)}:", part, indent)


def _under(head: str, part: Part, indent: str) -> Iterator[str]:
    """Give the lines of a part; the first begins with its key, or with the dash of a list's entry."""
    if isinstance(part, Section) and part.parts:
        yield head
        yield from _lines(part, f"{indent}  ")
    elif isinstance(part, Listing) and not all(isinstance(one, Leaf) for one in part.entries):
        yield head
        for entry in part.entries:
            yield from _entry(entry, f"{indent}  ")
    else:
        value = yaml.safe_dump(
            shown(part), default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
        )
        text = value.removesuffix("\n").removesuffix("\n...")
        line = f"{head} {text}"
        yield f"{line:<{_COMMENTS_AT}}  # {_whence(part)}"


def _entry(entry: Part, indent: str) -> Iterator[str]:
    if isinstance(entry, Section) and entry.parts:
        lines = list(_lines(entry, f"{indent}  "))
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]
    else:
        yield from _under(f"{indent}-", entry, indent)


def _whence(part: Part) -> str:
    """Give the origin of a part; of a list, also the variables that its entries come from."""
    origins = [part.origin]
    if isinstance(part, Listing):
        origins += [one.origin for one in part.entries if one.origin.startswith("environment ")]
    return ", ".join(dict.fromkeys(origins))


def _scalar(key: str) -> str:
    return yaml.safe_dump(key, allow_unicode=True, width=10**9).removesuffix("\n").removesuffix("\n...")
