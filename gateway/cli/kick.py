"""`gateway kick`: disconnect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.calling import ApiFile, ApiToken, ApiUrl, open_api
from gateway.cli.common import fail

__all__ = ["kick"]


def kick(
    connection: Annotated[str | None, typer.Argument(help="Id of a connection, as `who` lists it.")] = None,
    user: Annotated[str | None, typer.Option(help="User id of the connections.")] = None,
    group: Annotated[str | None, typer.Option(help="A group that they are members of.")] = None,
    route: Annotated[str | None, typer.Option(help="Their route.")] = None,
    code: Annotated[
        int | None, typer.Option(help="Close code. Default: 4410, which says not to come back.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Close reason. Default: disconnected.")] = None,
    config: ApiFile = Path("gateway.yaml"),
    url: ApiUrl = None,
    token: ApiToken = None,
) -> None:
    """Close connections of a running gateway, on every node, by its HTTP API. All that is given fits."""
    given = {"connection": connection, "user": user, "group": group, "route": route}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not chosen:
        fail("at least one of CONNECTION, --user, --group and --route is needed")
    how = {name: value for name, value in (("code", code), ("reason", reason)) if value is not None}
    with open_api(config, url, token, "disconnect") as api:
        answer = api.post("disconnect", {**chosen, **how})
    typer.echo(
        f"all nodes have been told; of the node that was asked, {answer['connections']} connections end"
    )
