"""`gateway status`: what runs."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.asking import ask_or_exit
from gateway.cli.common import ConfigFile, out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["status"]

_UNITS: Final = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


class Form(StrEnum):
    """In which form it is printed."""

    TEXT = "text"
    JSON = "json"


def status(
    config: ConfigFile = Path("gateway.yaml"),
    form: Annotated[Form, typer.Option("--format", help="For people or programs.")] = Form.TEXT,
) -> None:
    """Tell what runs with gateway.yaml: workers, connections, broker, last reload. Exit 1 if nothing does."""
    with closing(ask_or_exit(config, do="status")) as answer:
        told = answer.told
    if form is Form.JSON:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for line in _lines(told):
            out().print(line)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['state']}, process {told['pid']}, version {told['version']}, {_since(told['since'])}"
    yield f"file         {told['file']}"
    yield f"address      {told['address']}"
    yield f"connections  {_number(told['connections'])}"
    broker = told["broker"]
    kind = "embedded" if broker["embedded"] else broker["type"]
    yield f"broker       {kind}{'' if broker['up'] is None else ', up' if broker['up'] else ', down'}"
    last = told["last_reload"]
    if last is None:
        yield "last reload  none"
    else:
        outcome = f"done in {last['seconds']:.1f} seconds" if last["good"] else "failed"
        yield f"last reload  {_time(last['at'])}, {outcome}"
        if not last["good"]:
            yield from (f"             {line}" for line in last["problems"])
    for one in told["workers"]:
        process = f"process {one['pid']}, {_number(one['connections'])} connections"
        yield f"worker {one['worker']:<5} {one['state']}, {process}, {_since(one['since'])}"


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _since(at: float) -> str:
    seconds = max(0, round(time.time() - at))
    length, name = next((unit for unit in _UNITS if seconds >= 2 * unit[0]), _UNITS[-1])
    count = seconds // length
    return f"since {_time(at)} ({count} {name if count != 1 else name[:-1]})"
