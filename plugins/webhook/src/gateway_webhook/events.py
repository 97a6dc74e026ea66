"""Events as the service gets them: JSON, each with an id of its own."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Connection
    from gateway_webhook.options import Event, WebhookOptions

__all__ = ["Letter", "close_content", "message_content", "open_content", "write"]


@dataclass(frozen=True, slots=True)
class Letter:
    """One event, written.

    Args:
        id: The same for each try; no other event of any node has it.
        kind: What happened.
        body: The JSON.
    """

    id: str
    kind: Event
    body: bytes


def write(
    connection: Connection, kind: Event, number: int, claims: Sequence[str], content: dict[str, Any]
) -> Letter:
    """Write an event.

    Args:
        connection: Whose it is.
        kind: What happened.
        number: Its place among the connection's events, from 0.
        claims: Names of the claims that it tells.
        content: What it tells besides.
    """
    identity = connection.identity
    told = {} if identity is None else identity.claims
    event_id = f"{connection.id}-{number}"
    value = {
        "type": kind.value,
        "id": event_id,
        "number": number,
        "at": connection.node.now(),
        "connection": {
            "id": connection.id,
            "route": connection.route,
            "path": connection.path,
            "params": dict(connection.params),
            "remote": connection.remote,
            "subprotocol": connection.subprotocol,
            "opened_at": connection.opened_at,
            "groups": list(connection.groups),
            "user": None if identity is None else identity.user,
            "claims": {name: told[name] for name in claims if name in told},
        },
        **content,
    }
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # A lone surrogate, as a path may hold, becomes the escape that JSON has for it.
    return Letter(event_id, kind, text.encode("utf-8", "backslashreplace"))


def open_content(connection: Connection, options: WebhookOptions) -> dict[str, Any]:
    """Give what the open event tells: of the opening handshake only what the options name."""
    told: dict[str, Any] = {}
    if options.headers or options.forward_query:
        request = connection.request
        told["headers"] = {name: values for name in options.headers if (values := request.get_all(name))}
        if options.forward_query:
            told["query"] = request.query
    return {"request": told}


def message_content(message: str | bytes) -> dict[str, Any]:
    """Give what a message event tells: text as it is, binary in base64."""
    if isinstance(message, str):
        return {"message": {"text": message}}
    return {"message": {"binary": base64.b64encode(message).decode("ascii")}}


def close_content(code: int, reason: str) -> dict[str, Any]:
    """Give what the close event tells."""
    return {"close": {"code": int(code), "reason": reason}}
