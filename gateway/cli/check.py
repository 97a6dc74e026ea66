"""`gateway check`: judge gateway.yaml without serving it, and say what a restart would change."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.app.check import check_everything
from gateway.app.differences import differences
from gateway.app.effective import effective
from gateway.cli.common import ConfigFile, fail, out, read_or_exit
from gateway.cli.telling import as_annotations, as_data, as_text
from gateway.config import ConfigError, Severity, load_config

if TYPE_CHECKING:
    from gateway.app.prepare import Prepared
    from gateway.config import Problem

__all__ = ["check"]


class Form(StrEnum):
    """In which form the outcome is printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def check(
    config: ConfigFile = Path("gateway.yaml"),
    online: Annotated[
        bool,
        typer.Option("--online", help="Ask the broker, the issuers' key sets and the forward service too."),
    ] = False,
    skip_address: Annotated[
        bool, typer.Option("--skip-address", help="Do not look whether the address of listen is free.")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="For people, programs, or GitHub's annotations.")
    ] = Form.TEXT,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="OLD.yaml", help="Say what a restart would change against this file."),
    ] = None,
) -> None:
    """Judge gateway.yaml, the installed plugins, and all that both name; print every problem at once."""
    text = _text_or_exit(config, form)
    problems, prepared = check_everything(config, text=text, address=not skip_address, online=online)
    good = prepared is not None and not any(one.severity is Severity.ERROR for one in problems)
    changes = _changes(config, text, diff) if good and diff is not None else None
    if form is Form.JSON:
        _print_json(config, problems, changes, good=good)
    elif form is Form.GITHUB:
        if problems:
            typer.echo(as_annotations(problems))
    elif problems:
        typer.echo(as_text(problems), err=True)
    if not good:
        raise typer.Exit(1)
    if form is Form.TEXT and changes is None and prepared is not None:
        _print_verdict(config, prepared)
    elif form is not Form.JSON and changes is not None:
        for change in changes or ["nothing changes"]:
            out().print(change)


def _text_or_exit(config: Path, form: Form) -> str:
    if form is Form.TEXT:
        return read_or_exit(config)
    try:
        # A file that cannot be read is a problem of the same form.
        load_config(config)
    except ConfigError as exc:
        if exc.draft is None:
            if form is Form.JSON:
                _print_json(config, exc.problems, None, good=False)
            else:
                typer.echo(as_annotations(exc.problems))
            raise typer.Exit(1) from None
    return read_or_exit(config)


def _print_verdict(config: Path, prepared: Prepared) -> None:
    count = len(prepared.config.routes)
    out().print(f"{config}: good, {count} {'route' if count == 1 else 'routes'}")


def _print_json(
    config: Path, problems: tuple[Problem, ...], changes: list[str] | None, *, good: bool
) -> None:
    outcome = {"file": str(config), "good": good, "problems": as_data(problems)}
    if changes is not None:
        outcome["changes"] = changes
    typer.echo(json.dumps(outcome, ensure_ascii=False, indent=2))


def _changes(config: Path, text: str, former: Path) -> list[str]:
    """Compare with another file, whose relative paths are taken to begin where this one's do."""
    try:
        old = load_config(former, os.environ, folder=config.parent)
    except ConfigError as exc:
        fail(f"{as_text(exc.problems)}\ncannot compare with a file that is not good: {former}")
    return differences(effective(old), effective(load_config(config, os.environ, text)))
