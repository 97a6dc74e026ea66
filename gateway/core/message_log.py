"""Messages in the log, for routes that say `log_messages`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.connection import Connection
    from gateway.observe.logs import Logger

__all__ = ["log_messages"]

_MOST_SHOWN: Final = 1000  # of a message's characters, or of its bytes as hexadecimal digits


def log_messages(event: Callable[..., Any], log: Logger) -> Callable[..., Any]:
    """Wrap a message event, so that each message from a client is a line in the log."""
    log = log.bind(logger="gateway.messages")

    def call(connection: Connection, message: str | bytes) -> Any:
        binary = isinstance(message, bytes)
        shown = message[:_MOST_SHOWN].hex() if isinstance(message, bytes) else message[:_MOST_SHOWN]
        log.info(
            "message_received",
            connection=connection.id,
            route=connection.route,
            user=connection.user,
            type="binary" if binary else "text",
            length=len(message),
            # What is meant for a terminal stays off ours.
            message=shown if shown.isprintable() else ascii(shown),
        )
        return event(connection, message)

    return call
