"""`gateway judge`: the check before a reload. The supervisor runs it; nobody else can."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from gateway.app.check import check_everything
from gateway.app.differences import differences
from gateway.app.effective import effective
from gateway.app.reload import Findings
from gateway.children.leash import die_with_parent
from gateway.cli.common import ConfigFile  # noqa: TC001  (typer evaluates annotations)
from gateway.cli.telling import as_text
from gateway.config import ConfigError, Severity, load_config
from gateway.config.syntax import read_text

__all__ = ["judge"]


def judge(
    parent: Annotated[int, typer.Option(help="The supervisor's process id.")],
    line: Annotated[int, typer.Option(help="Descriptor of the line to the supervisor.")],
    config: ConfigFile = Path("gateway.yaml"),
) -> None:
    """Judge gateway.yaml before a reload. The gateway runs it."""
    die_with_parent(parent)
    with socket.socket(fileno=line) as ours:
        ours.set_inheritable(False)
        former = b""
        while data := ours.recv(65_536):
            former += data
        ours.sendall(_find(config, former.decode()).line())


def _find(config: Path, former: str) -> Findings:
    try:
        text = read_text(config)
    except ConfigError as exc:
        return Findings(False, _lines(exc.problems))
    problems, prepared = check_everything(config, text=text, address=False)
    if prepared is None or any(one.severity is Severity.ERROR for one in problems):
        return Findings(False, _lines(problems))
    old = effective(load_config(config, os.environ, former))
    changes = differences(old, effective(load_config(config, os.environ, text)))
    return Findings(True, _lines(problems), tuple(changes), text)


def _lines(problems: tuple) -> tuple[str, ...]:  # type: ignore[type-arg]
    return tuple(as_text(problems).splitlines()) if problems else ()
