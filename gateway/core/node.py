"""One gateway process: its connections, its handlers, and what they share."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from gateway.broker.contract import Publication
from gateway.core.deadlines import Deadlines
from gateway.core.dispatch import where
from gateway.core.expiry import Expiries
from gateway.core.flusher import Flusher
from gateway.core.groups import EVERYONE, user_group
from gateway.core.hub import Hub
from gateway.core.orders import Orders
from gateway.core.owned import Owned
from gateway.core.revocations import Revocations
from gateway.core.rounds import Rounds
from gateway.core.stepping import Stepper
from gateway.observe.metrics import Metrics
from gateway.protocol.close_codes import may_be_sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.broker.contract import Broker, Note
    from gateway.config.models import Overflow
    from gateway.core.connection import Connection
    from gateway.core.identity import Identity
    from gateway.core.owned import Timer
    from gateway.core.selection import Selection
    from gateway.core.socket_connection import SocketConnection
    from gateway.observe.logs import Logger

__all__ = ["Node", "node_name"]

Item = TypeVar("Item")
Renew: TypeAlias = "Callable[[Connection, str], Awaitable[Identity]]"


def node_name() -> str:
    """Make a name that no other node has: of the process id and eight random digits."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


class Node:
    """One gateway process (a worker). Handlers get it when they start.

    Its methods are called on the event loop, and none but `start`, `stop` and `drain`, which are the
    gateway's own, waits.

    Args:
        broker: What carries publications.
        log: Where log lines go.
        policy: Gives a group's overflow policy by its name; `None` where the routes' own holds.
        name: Unique among nodes; `None` makes one with `node_name`.
    """

    def __init__(
        self,
        broker: Broker,
        log: Logger,
        *,
        policy: Callable[[str], Overflow | None] = lambda _: None,
        name: str | None = None,
    ) -> None:
        self.name = name or node_name()
        self.log = log
        self.loop = asyncio.get_running_loop()
        self.started_at = time.time()
        """Seconds since the epoch."""
        self.metrics = Metrics()
        self.broker = broker
        self.needs_broker = False
        """Whether it takes no new connections while the broker is down."""
        self.draining = False
        """Whether the node is leaving: it takes no new connections."""
        self.flusher = Flusher(self.loop, self.metrics)
        self.hub = Hub(broker, self.flusher, self.metrics, self._number_of, policy)
        self.orders = Orders(self)
        self.expiries = Expiries(self.loop, self.now)
        self.revocations = Revocations(self.now)
        self.renew: Renew | None = None
        """Judges a token with which a handler renews a connection's identity."""
        self.stepper = Stepper(self.loop)
        self.closing: dict[SocketConnection, Deadlines[SocketConnection] | None] = {}
        """Connections whose end has begun and whose TCP is not gone, with the deadline of that if it runs."""
        self.note_takers: dict[str, Callable[[Note], int]] = {
            "disconnect": self.orders.take,
            "revoke": self.orders.take,
        }
        """By what a note says under `order`, who takes it."""
        self.connection_ended: list[Callable[[Connection], None]] = []
        """Each is called once with every connection, when its TCP is gone."""
        self.event_tasks: set[asyncio.Task[Any]] = set()
        """Handlers' events that wait."""
        self._owned = Owned(self.loop, self._task_failed)
        self._deadlines: dict[tuple[float, Any], Deadlines[Any]] = {}
        self._rounds: dict[float, Rounds] = {}
        self._last_socket_gone = asyncio.Event()
        self._connection_count = 0
        self._prefix = secrets.token_hex(5)

    # For handlers and plugins.

    def publish(
        self,
        group: str,
        message: str | bytes,
        *,
        exclude: Connection | None = None,
        key: str | None = None,
    ) -> int:
        """Publish a message to a group, on every node.

        Args:
            group: Its name.
            message: `str` for text, `bytes` for binary.
            exclude: A connection that does not get it; `None` for no one.
            key: What the message is the newest state of, for the overflow policy `conflate`; `None` stands
                for the whole group.

        Returns:
            How many connections of this node it was handed to.

        Raises:
            BrokerUnavailableError: If `broker: when_down` is `refuse`, and other nodes cannot be reached.
            MessageTooBigError: If it is too big for the way between nodes; no one has got it then.
        """
        excluded = None if exclude is None else exclude.id
        return self.broker.publish(Publication(group, message, excluded, key))

    def publish_to_user(self, user: str, message: str | bytes, *, exclude: Connection | None = None) -> int:
        """Publish a message to all connections of a user, on every node; otherwise as `publish`."""
        return self.publish(user_group(user), message, exclude=exclude)

    def publish_to_everyone(self, message: str | bytes, *, exclude: Connection | None = None) -> int:
        """Publish a message to every connection on every node; otherwise as `publish`."""
        return self.publish(EVERYONE, message, exclude=exclude)

    def members(self, group: str) -> tuple[Connection, ...]:
        """Give a group's members on this node."""
        return self.hub.members(group)

    def connections(self) -> tuple[Connection, ...]:
        """Give all open connections of this node."""
        return self.hub.connections

    def disconnect(self, selection: Selection, code: int = 1000, reason: str = "") -> int:
        """Close connections, on every node.

        Args:
            selection: Which ones; the closing handshakes begin at once.
            code: 1000, or one of 3000 to 4999 for reasons of your own.
            reason: A short text; cut at 123 bytes of UTF-8.

        Returns:
            How many connections of this node are closed.

        Raises:
            ValueError: If the code must not be sent (RFC 6455 section 7.4).
        """
        if not may_be_sent(code):
            raise ValueError(f"close code {code} must not be sent")
        return self.orders.disconnect(selection, code, reason)

    def after(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function once, in so many seconds, unless the node stops before."""
        return self._owned.after(seconds, callback, args)

    def every(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function every so many seconds until the node stops."""
        return self._owned.every(seconds, callback, args)

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it is cancelled when the node stops."""
        return self._owned.start_task(coroutine, name=name)

    def now(self) -> float:
        """Give the time in seconds since the epoch."""
        return time.time()

    # The gateway's own.

    async def start(self) -> None:
        """Connect to the broker."""
        await self.broker.start(self.hub.broadcast, self._take_note, self._gap)
        self.broker.subscribe(EVERYONE)  # for good: the hub has this group from the beginning

    def _take_note(self, note: Note) -> int:
        """Have a note taken; give how many connections of this node it is about.

        Raises:
            ValueError: If it is none that anybody takes.
        """
        order = note.get("order")
        taker = self.note_takers.get(order) if isinstance(order, str) else None
        if taker is None:
            raise ValueError("not a note")
        return taker(note)

    @property
    def broker_is_down(self) -> bool:
        """Whether there is no recent proof that the broker carries anything."""
        return self.broker.status.is_down(self.loop.time())

    async def stop(self) -> None:
        """End what handlers have started, and leave the broker."""
        self._owned.close()
        self.stepper.close()
        for deadlines in self._deadlines.values():
            deadlines.close()
        for rounds in self._rounds.values():
            rounds.close()
        self.expiries.close()
        await self.broker.stop()

    async def drain(self, code: int, reason: str, seconds: float, grace: float) -> None:
        """Close every connection, spread evenly over `seconds`; wait for their end at most `grace` more."""
        self.draining = True
        connections = self.hub.connections
        pause = seconds / len(connections) if connections else 0.0
        started = self.loop.time()
        for index, connection in enumerate(connections):
            late = started + index * pause - self.loop.time()
            if late > 0:
                await asyncio.sleep(late)
            connection.begin_close(code, reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._ended()
        for socket in tuple(self.closing):
            socket.fail(code, reason)
            socket.abort()
        for task in tuple(self.event_tasks):
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._ended()

    async def _ended(self) -> None:
        """Wait until every socket is gone and no event waits."""
        while self.closing:
            self._last_socket_gone.clear()
            await self._last_socket_gone.wait()
        while self.event_tasks:
            await asyncio.wait(tuple(self.event_tasks))

    @property
    def sockets(self) -> set[Connection]:
        """Connections whose TCP is not gone."""
        return {*self.hub.connections, *self.closing}

    def forget_socket(self, socket: SocketConnection) -> Deadlines[SocketConnection] | None:
        """Note that a connection's TCP is gone; give the deadline that runs for it."""
        deadlines = self.closing.pop(socket, None)
        for call in self.connection_ended:
            call(socket)
        if not self.closing:
            self._last_socket_gone.set()
        return deadlines

    def next_connection_number(self) -> int:
        """Give a number that no other connection of this node has; the first is 1."""
        self._connection_count += 1
        return self._connection_count

    def connection_id(self, number: int) -> str:
        """Give the id of a connection of this node: no other connection of any node has it."""
        return f"{self._prefix}-{number:x}"

    def _number_of(self, connection_id: str) -> int:
        prefix, _, number = connection_id.partition("-")
        return int(number, 16) if prefix == self._prefix else -1

    def rounds(self, seconds: float) -> Rounds:
        """Give the pings of this interval; made at first use."""
        found = self._rounds.get(seconds)
        if found is None:
            found = self._rounds[seconds] = Rounds(self.loop, seconds)
        return found

    def deadlines(self, seconds: float, expire: Callable[[Item], None]) -> Deadlines[Item]:
        """Give the deadlines of this length that end in this call; made at first use."""
        key = (seconds, expire)
        found = self._deadlines.get(key)
        if found is None:
            found = self._deadlines[key] = Deadlines(self.loop, seconds, expire)
        return found

    def _gap(self) -> None:
        self.metrics.broker_gaps += 1
        self.log.warning("broker_gap", node=self.name, connections=len(self.hub))

    def _task_failed(self, error: BaseException) -> None:
        self.log.error("background_task_failed", node=self.name, where=where(error), exc_info=error)
