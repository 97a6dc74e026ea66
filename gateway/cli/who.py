"""`gateway who`: who is connected, over all nodes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gateway.cli.calling import ApiFile, ApiToken, ApiUrl, open_api
from gateway.cli.common import out, printable

if TYPE_CHECKING:
    from gateway.cli.calling import Api

__all__ = ["who"]

_PAGE = 500


class Form(StrEnum):
    """In which form connections are printed."""

    TEXT = "text"
    JSON = "json"


def who(
    user: Annotated[str | None, typer.Option(help="Only connections of this user id.")] = None,
    group: Annotated[str | None, typer.Option(help="Only members of this group.")] = None,
    route: Annotated[str | None, typer.Option(help="Only connections of this route.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only those whose id, user, address or path contains this.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most connections that are listed.")] = 1000,
    form: Annotated[Form, typer.Option("--format", help="A table, or a JSON object a line.")] = Form.TEXT,
    config: ApiFile = Path("gateway.yaml"),
    url: ApiUrl = None,
    token: ApiToken = None,
) -> None:
    """List the connections of a running gateway, over all nodes, by its HTTP API."""
    chosen = {"user": user, "group": group, "route": route, "search": search}
    with open_api(config, url, token, "read") as api:
        listed, total = _collect(api, chosen, limit)
    if form is Form.JSON:
        for one in listed:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("connection", "user", "route", "address", "since", "in", "out", "groups"):
        table.add_column(heading, overflow="fold")
    for one in listed:
        table.add_row(*_row(one))
    out().print(table, soft_wrap=False)
    typer.echo(f"{len(listed)} of {total} connections", err=True)


def _collect(api: Api, chosen: dict[str, str | None], limit: int) -> tuple[list[dict[str, Any]], int]:
    """Ask for page after page; give the connections, and how many there are."""
    listed: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        answer = api.get("connections", **chosen, limit=min(_PAGE, limit - len(listed)), after=after)
        listed += answer["connections"]
        after = answer["next"]
        if after is None or len(listed) >= limit or not answer["connections"]:
            api.warn_of(answer)
            return listed, answer["total"]


def _row(one: dict[str, Any]) -> list[str]:
    since = datetime.fromtimestamp(one["opened_at"], UTC).astimezone().isoformat(" ", "seconds")
    groups = ", ".join(one["groups"])
    if one["group_count"] > len(one["groups"]):
        groups += f" and {one['group_count'] - len(one['groups'])} more"
    texts = (one["id"], one["user"] or "-", one["route"], one["remote"], since[:19])
    counts = (str(one["messages_in"]), str(one["messages_out"]))
    return [printable(text) for text in (*texts, *counts, groups)]
