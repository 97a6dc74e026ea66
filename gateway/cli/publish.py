"""`gateway publish`: push a message from a terminal or a script."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.calling import ApiFile, ApiToken, ApiUrl, open_api, read_json, read_message
from gateway.cli.common import fail, printable

__all__ = ["publish"]


def publish(
    message: Annotated[str, typer.Argument(help="The message; - reads it from standard input.")],
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", help="A group that gets it. Repeatable.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="A user id, whose connections get it.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Every connection gets it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The message is JSON, and has to be.")] = False,
    binary: Annotated[
        bool, typer.Option("--binary", "-b", help="The message is sent as binary, in UTF-8 if not from -.")
    ] = False,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: tried again with it, it is published once.")
    ] = None,
    config: ApiFile = Path("gateway.yaml"),
    url: ApiUrl = None,
    token: ApiToken = None,
) -> None:
    """Publish a message through a running gateway, on every node, by its HTTP API."""
    if bool(group) + (user is not None) + everyone != 1:
        fail("exactly one of --group, --user and --everyone is needed")
    if as_json and binary:
        fail("--json and --binary are not for one message")
    body: dict[str, Any] = {"idempotency_key": key} if key is not None else {}
    if group:
        body["groups"] = list(dict.fromkeys(group))
    elif user is not None:
        body["user"] = user
    else:
        body["everyone"] = True
    if binary:
        data = sys.stdin.buffer.read() if message == "-" else message.encode()
        body["data_base64"] = base64.b64encode(data).decode()
    else:
        text = read_message(message)
        body["data"] = read_json(text) if as_json else text
    with open_api(config, url, token, "publish") as api:
        answer = api.post("publish", body)
    for one in answer.get("groups", [answer]):
        typer.echo(_told(one))


def _told(one: dict[str, Any]) -> str:
    name = f"{printable(one['group'])}: " if "group" in one else ""
    if one.get("repeated"):
        return f"{name}published before with this key, at offset {one.get('offset', 'unknown')}"
    words = ["published"]
    if one.get("connections") is not None:
        words.append(f"to {one['connections']} connections of the node that was asked")
    if one.get("offset") is not None:
        words.append(f"at offset {one['offset']}")
    return name + ", ".join(words)
