"""The handler `live`: figures to everyone, texts to everyone or to one consumer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway import HANDLED, Handler
from gateway_live import messages
from gateway_live.figures import Feed, Figures
from gateway_live.messages import EVERYONE, Hello, MessageError
from gateway_live.options import LiveOptions

if TYPE_CHECKING:
    from gateway import Connection, Node
    from gateway_live.messages import Push

__all__ = ["LiveHandler", "consumer_group", "figures_group"]

CONSUMER: Final = "live.consumer"
"""Where `connection.state` keeps the consumer id."""


def consumer_group(consumer: str) -> str:
    """Name the group of the connections that said hello as this consumer."""
    return f"consumer:{consumer}"


def figures_group(group: str, node: Node) -> str:
    """Name the group that gets the figures of one node.

    Apart from the group of the pushes: that one spans all nodes, and would bring each client the samples
    of every node, mixed.
    """
    return f"{group}@{node.name}"


class LiveHandler(Handler[LiveOptions]):
    """The handler of the pages that update themselves."""

    def on_start(self, node: Node) -> None:
        """Begin to feed this node's figures to the connections."""
        options = self.options
        self._figures = Figures.of(node)
        self._feed = Feed(
            figures_group(options.group, node), options.interval_seconds, options.history_samples
        )
        self._figures.add_feed(self._feed)

    def on_stop(self) -> None:
        """Feed no more."""
        self._figures.remove_feed(self._feed)

    def on_open(self, connection: Connection) -> None:
        """Send the snapshot, and have each sample follow."""
        connection.join(self.options.group)
        connection.join(self._feed.group)
        self._figures.newest()  # So that even the first connection of a process gets a sample at once.
        connection.send(
            messages.snapshot(
                connection.id,
                interval_seconds=self._figures.interval_seconds or self.options.interval_seconds,
                allow_push=self.options.allow_push,
                samples=self._figures.recent(self.options.history_samples),
            )
        )

    def on_message(self, connection: Connection, message: str | bytes) -> object:
        """Take a hello or a push; answer anything else with an error."""
        try:
            self._take(connection, messages.parse(message))
        except MessageError as exc:
            connection.send(messages.error(str(exc)))
        return HANDLED

    def _take(self, connection: Connection, message: Hello | Push) -> None:
        if isinstance(message, Hello):
            self._hello(connection, message)
        else:
            self._push(connection, message)

    def _hello(self, connection: Connection, message: Hello) -> None:
        if message.consumer == EVERYONE:
            raise MessageError(f"consumer: {EVERYONE} is the name of all")
        former = connection.state.get(CONSUMER)
        if former is not None and former != message.consumer:
            connection.leave(consumer_group(former))
        connection.state[CONSUMER] = message.consumer
        connection.join(consumer_group(message.consumer))
        connection.send(
            messages.hello(message.consumer, connection=connection.id, at=message.at, now=time.time())
        )

    def _push(self, connection: Connection, message: Push) -> None:
        if not self.options.allow_push:
            raise MessageError("pushing is off on this route")
        size = len(message.text.encode())
        if size > self.options.max_text_bytes:
            raise MessageError(f"text too long: {size} bytes, limit {self.options.max_text_bytes}")
        group = self.options.group if message.to == EVERYONE else consumer_group(message.to)
        pushed = messages.push(connection.state.get(CONSUMER), message.to, message.text)
        connection.send(messages.pushed(message.to, connection.publish(group, pushed)))
