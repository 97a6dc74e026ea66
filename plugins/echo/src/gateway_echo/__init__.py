"""Handlers that send messages back: `echo` to their sender, `fan` to one group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from gateway import Connection, Handler, Options, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Echo", "EchoOptions", "Fan", "FanOptions", "gateway_handlers"]

ANNOUNCEMENT: Final = "接收到客户端的消息:"


class EchoOptions(Options):
    """Options of the handler `echo`."""

    announce: bool = Field(
        default=False, description="Whether `接收到客户端的消息:` goes before the message."
    )


class Echo(Handler[EchoOptions]):
    """A handler that sends each message back to its sender."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Send the message back."""
        if not self.options.announce:
            connection.send(message)
        elif isinstance(message, str):
            connection.send(ANNOUNCEMENT + message)
        else:
            connection.send(ANNOUNCEMENT.encode() + message)


class FanOptions(Options):
    """Options of the handler `fan`."""

    group: str = Field(
        default="fan", min_length=1, description="The group that each message is published to."
    )


class Fan(Handler[FanOptions]):
    """A handler that publishes each message to one group, its sender included."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Publish the message."""
        connection.publish(self.options.group, message)


@hookimpl
def gateway_handlers() -> Mapping[str, type[Handler[Any]]]:
    """Name the handlers."""
    return {"echo": Echo, "fan": Fan}
