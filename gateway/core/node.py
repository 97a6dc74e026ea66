"""One gateway process: its connections, its handlers, and what they share."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from gateway.broker.contract import Publication, no_history
from gateway.core.clock import SystemClock
from gateway.core.culprits import where
from gateway.core.deadlines import Deadlines
from gateway.core.doubts import Doubts
from gateway.core.ends import Ends
from gateway.core.enveloping import Enveloping
from gateway.core.expiry import Expiries
from gateway.core.flusher import Flusher
from gateway.core.gaps import Gaps
from gateway.core.groups import EVERYONE
from gateway.core.guard import Guards
from gateway.core.hub import Hub
from gateway.core.inquiries import Inquiries
from gateway.core.loop_threads import LoopThreads
from gateway.core.node_calls import NodeCalls
from gateway.core.orders import Orders
from gateway.core.owned import RAISING as TIMER_RAISING
from gateway.core.owned import Owned
from gateway.core.presence import no_presence
from gateway.core.presence_events import RAISING as PRESENCE_RAISING
from gateway.core.resume import ResumeTokens
from gateway.core.resuming import Resuming
from gateway.core.revocations import Revocations
from gateway.core.roster import Roster
from gateway.core.rounds import Rounds
from gateway.core.socket_connection import RAISING
from gateway.core.stepping import Stepper
from gateway.core.strays import TaskFactory
from gateway.core.trackers import Trackers
from gateway.observe.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.broker.contract import Broker, HistoryOf, Note
    from gateway.config.models import Overflow
    from gateway.core.clock import Clock, Timers
    from gateway.core.connection import Connection
    from gateway.core.ending_connection import EndingConnection
    from gateway.core.event_connection import EventConnection
    from gateway.core.identity import Identity
    from gateway.core.presence import PresenceOf
    from gateway.observe.logs import Logger

__all__ = ["Node", "node_name"]

_RESUME_SECONDS: Final = 300.0

Item = TypeVar("Item")
Result = TypeVar("Result")
Renew: TypeAlias = "Callable[[Connection, str], Awaitable[Identity]]"


def node_name() -> str:
    """Make a name that no other node has: of the process id and eight random digits."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


class Node(NodeCalls):
    """One gateway process (a worker). Handlers get it when they start.

    Its methods are called on the event loop, and none but `start`, `stop` and `drain`, which are the
    gateway's own, waits.

    Args:
        broker: What carries publications.
        log: Where log lines go.
        policy: Gives a group's overflow policy by its name; `None` where the routes' own holds.
        name: Unique among nodes; `None` makes one with `node_name`.
        clock: What time it is for handlers; `None` for the system's clock.
        history_of: Gives what a group keeps, by its name.
        presence_of: Gives the policy of a group whose members are known over all nodes, by its name.
    """

    def __init__(
        self,
        broker: Broker,
        log: Logger,
        *,
        policy: Callable[[str], Overflow | None] = lambda _: None,
        name: str | None = None,
        clock: Clock | None = None,
        history_of: HistoryOf = no_history,
        presence_of: PresenceOf = no_presence,
    ) -> None:
        self.name = name or node_name()
        self.log = log
        self.loop = asyncio.get_running_loop()
        self.clock: Clock = SystemClock(self.loop) if clock is None else clock
        self.started_at = self.now()
        """Seconds since the epoch."""
        self.metrics = Metrics()
        self.broker = broker
        self.needs_broker = False
        """Whether it takes no new connections while the broker is down."""
        self.idempotency_seconds = 120.0
        """For how long a publication is known by its idempotency key."""
        self.draining = False
        """Whether the node is leaving: it takes no new connections."""
        self.flusher = Flusher(self.loop, self.metrics)
        self.gaps = Gaps(self)
        self.trackers = Trackers(broker, history_of, self._broadcast, self.gaps.group, self.metrics, log)
        self.resuming = Resuming(
            self.trackers,
            ResumeTokens(secrets.token_bytes(32), _RESUME_SECONDS, self.now),
            self.metrics,
            self.clock,
        )
        self.hub = Hub(self.trackers, self.flusher, self.metrics, self._number_of, policy, self._envelop)
        self._keeps_history = history_of is not no_history
        self.ends = Ends(self)
        self.orders = Orders(self)
        self.doubts = Doubts(self)
        self.expiries = Expiries(self.clock, self.now)
        self.revocations = Revocations(self.now)
        self.renew: Renew | None = None
        """Judges a token with which a handler renews a connection's identity."""
        self.stepper = Stepper(self.loop)
        self.closing: dict[EndingConnection, Deadlines[EndingConnection] | None] = {}
        """Connections whose end has begun and whose TCP is not gone, with the deadline of that if it runs."""
        self.note_takers: dict[str, Callable[[Note], int]] = {
            "disconnect": self.orders.take,
            "revoke": self.orders.take,
            "lost": self.gaps.take,
            "unpublished": self.doubts.take,
        }
        """By what a note says under `order`, who takes it."""
        self.connection_ended: list[Callable[[Connection], None]] = []
        """Each is called once with every connection, when its TCP is gone."""
        self.inquiries = Inquiries(self)
        self.event_tasks: dict[asyncio.Task[Any], EventConnection] = {}
        """Handlers' events that wait, and whose they are."""
        self.late_events: dict[asyncio.Task[Any], tuple[str, str, str]] = {}
        """Those of them that were cancelled since they took too long: plugin, handler and place."""
        self.guards = Guards(self)
        self._task_factory: TaskFactory | None = None
        self._loop_threads: LoopThreads | None = None
        self._owned = Owned(self.loop, self._task_failed, self.clock)
        self._deadlines: dict[tuple[float, Any], Deadlines[Any]] = {}
        self._rounds: dict[float, Rounds] = {}
        self._last_socket_gone = asyncio.Event()
        self.roster = Roster(self, presence_of)
        self.hub.presence_of = self.roster.group
        self._connection_count = 0
        self._prefix = secrets.token_hex(5)

    # The gateway's own.

    async def start(self) -> None:
        """Connect to the broker."""
        # First: what connects may look a name up in a thread, or read a file.
        self._loop_threads = LoopThreads(self.guards, self.loop)
        self.loop.set_default_executor(self._loop_threads)
        # Where no group keeps history, publications need not pass the trackers: 0.1 µs each.
        deliver = self.trackers.deliver if self._keeps_history else self.hub.broadcast
        await self.broker.start(deliver, self._take_note, self._gap)
        self.roster.start()
        self._task_factory = TaskFactory.of(self, RAISING | PRESENCE_RAISING | TIMER_RAISING)
        self.broker.subscribe(EVERYONE)  # for good: the hub has this group from the beginning
        if self._keeps_history:
            self.resuming.start(self.hub)

    def _broadcast(self, publication: Publication) -> int:
        return self.hub.broadcast(publication)

    def _envelop(self, publication: Publication) -> Enveloping:
        return Enveloping(publication, self.resuming)

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
        self.roster.stop()
        self.guards.close()
        if self._loop_threads is not None:
            self._loop_threads.leave()
        if self._task_factory is not None:
            self._task_factory.leave(self)
            self._task_factory = None
        self._owned.close()
        self.stepper.close()
        for deadlines in self._deadlines.values():
            deadlines.close()
        for rounds in self._rounds.values():
            rounds.close()
        self.expiries.close()
        self.trackers.close()
        self.resuming.close()
        await self.broker.stop()

    async def drain(self, code: int, reason: str, seconds: float, grace: float) -> None:
        """Close every connection, spread evenly over `seconds`; wait for their end at most `grace` more."""
        self.draining = True
        await self.close_all(code, reason, seconds)
        await self._see_out(code, reason, grace)

    async def close_all(self, code: int, reason: str, seconds: float) -> None:
        """Begin to close every connection that is open now, spread evenly over `seconds`."""
        connections = self.hub.connections
        pause = seconds / len(connections) if connections else 0.0
        started = self.loop.time()
        for index, connection in enumerate(connections):
            late = started + index * pause - self.loop.time()
            if late > 0:
                await asyncio.sleep(late)
            connection.begin_close(code, reason)
        for connection in tuple(self.hub.apart):  # they have seen the others go
            connection.begin_close(code, reason)

    async def _see_out(self, code: int, reason: str, grace: float) -> None:
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
        while waiting := [task for task, owner in self.event_tasks.items() if owner.awaits(task)]:
            await asyncio.wait(waiting)

    @property
    def sockets(self) -> set[Connection]:
        """Connections whose TCP is not gone."""
        return {*self.hub.connections, *self.hub.apart, *self.closing}

    def forget_socket(self, socket: EndingConnection) -> Deadlines[EndingConnection] | None:
        """Note that a connection's TCP is gone; give the deadline that runs for it."""
        deadlines = self.closing.pop(socket, None)
        self.ends.end(socket)
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

    def deadlines(
        self, seconds: float, expire: Callable[[Item], None], timers: Timers | None = None
    ) -> Deadlines[Item]:
        """Give the deadlines of this length that end in this call; made at first use.

        Args:
            seconds: The length.
            expire: The call.
            timers: What they go by, the same for all that end in this call; `None` for the event loop.
        """
        key = (seconds, expire)
        found = self._deadlines.get(key)
        if found is None:
            found = self._deadlines[key] = Deadlines(self.loop if timers is None else timers, seconds, expire)
        return found

    def _gap(self) -> None:
        self.metrics.broker_gaps += 1
        self.log.warning("broker_gap", logger="gateway.broker", connections=len(self.hub))
        self.trackers.gap()
        self.gaps.plain()

    def _task_failed(self, error: BaseException) -> None:
        frames = [frame for frame, _ in walk_tb(error.__traceback__)]
        plugin = next((found for frame in frames if (found := self.guards.owners.place(frame).plugin)), None)
        self.log.error("background_task_failed", plugin=plugin, where=where(error), exc_info=error)
