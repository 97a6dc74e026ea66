"""The handler `webhook`: each event goes to a service, and its answer says what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway import Handler
from gateway_webhook.answer import perform, read_answer
from gateway_webhook.delivery import Delivery
from gateway_webhook.errors import WebhookError
from gateway_webhook.events import close_content, message_content, open_content, write
from gateway_webhook.options import Event, WebhookOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway import Connection, Node
    from gateway_webhook.events import Letter

__all__ = ["Webhook"]

_LOG_SECONDS: Final = 1.0


class _Line:
    """What is kept of a connection."""

    __slots__ = ("broken", "number")

    def __init__(self) -> None:
        self.number = 0
        """The next event's."""
        self.broken = False
        """Whether an event was lost: what follows must not arrive as if nothing were missing."""


class Webhook(Handler[WebhookOptions]):
    """A handler that has a service decide.

    The gateway raises a connection's events one at a time, so each waits for the answer to the one before,
    and a client whose events wait is not read beyond its route's `receive_backlog`.
    """

    def __init__(self, options: WebhookOptions) -> None:
        super().__init__(options)
        # A route may name the handler twice, for two services.
        self._key = f"webhook-{id(self):x}"
        self._delivery: Delivery
        self._node: Node
        self._logged_at = -_LOG_SECONDS
        self._unlogged = 0

    def on_start(self, node: Node) -> None:
        """Make the client.

        Raises:
            OSError: If the file of authorities does not load.
        """
        self._node = node
        self._delivery = Delivery(self.options, node.now)

    async def on_stop(self) -> None:
        """End the client's connections."""
        await self._delivery.close()

    def on_open(self, connection: Connection) -> Awaitable[None] | None:
        """Tell of a connection that has opened."""
        if Event.OPEN not in self.options.events:
            return None
        return self._tell(connection, Event.OPEN, open_content(connection, self.options))

    def on_message(self, connection: Connection, message: str | bytes) -> Awaitable[None] | None:
        """Tell of a message."""
        if Event.MESSAGE not in self.options.events or self._line(connection).broken:
            return None
        return self._tell(connection, Event.MESSAGE, message_content(message))

    def on_close(self, connection: Connection, code: int, reason: str) -> Awaitable[None] | None:
        """Tell of a connection that has ended, also where an event before it was lost."""
        if Event.CLOSE not in self.options.events:
            return None
        if self._node.draining and self._line(connection).broken:
            return None  # the gateway has not waited for the event before, and would not for this one
        return self._tell(connection, Event.CLOSE, close_content(code, reason))

    def _line(self, connection: Connection) -> _Line:
        line = connection.state.get(self._key)
        if line is None:
            line = connection.state[self._key] = _Line()
        return line

    async def _tell(self, connection: Connection, kind: Event, content: dict[str, Any]) -> None:
        line = self._line(connection)
        letter = write(connection, kind, line.number, self.options.claims, content)
        line.number += 1
        try:
            body = await self._delivery.deliver(letter)
            perform(read_answer(body), connection)
        except WebhookError as error:
            line.broken = True
            self._log(connection, letter, error)
            connection.close(error.code, error.reason)
        except asyncio.CancelledError:
            line.broken = True
            raise

    def _log(self, connection: Connection, letter: Letter, error: WebhookError) -> None:
        """Log what was lost, at most once a second: a service that is down fails many at once."""
        now = self._node.loop.time()
        if now - self._logged_at < _LOG_SECONDS:
            self._unlogged += 1
            return
        self._node.log.warning(
            "webhook_failed",
            logger="gateway.webhook",
            connection=connection.id,
            route=connection.route,
            kind=letter.kind.value,
            event_id=letter.id,
            error=str(error),
            code=error.code,
            more=self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0
