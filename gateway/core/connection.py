"""A connection, as handlers see it: one open WebSocket after a successful opening handshake."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.config.models import Overflow
from gateway.core.ends import GATEWAY, HANDLER
from gateway.core.presence import member_id
from gateway.core.request import OpeningRequest
from gateway.core.send_queue import SendQueue
from gateway.observe.tallies import Tally
from gateway.protocol.close_codes import may_be_sent
from gateway.protocol.encoding import SHORT, SHORT_TEXT_HEADERS, encode_message
from gateway.protocol.head import parse_head
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from gateway.broker.contract import Publication
    from gateway.core.compression import ConnectionCompression
    from gateway.core.groups import Group
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.owned import Owned, Timer
    from gateway.core.rate import Rate
    from gateway.core.resuming import ResumeSet
    from gateway.core.route import Route

__all__ = ["Connection", "State"]

Result = TypeVar("Result")


class State(IntEnum):
    """How far a connection is in its life. It only goes forward."""

    OPEN = 0
    """Messages go both ways."""
    CLOSING = 1
    """Our close frame is on its way; the peer's is awaited."""
    CLOSED = 2
    """The closing handshake is over or given up; only the TCP connection is to be ended."""


# A member of an enumeration costs 60 ns more to look up in Python 3.11 than a name of the module.
_OPEN: Final = State.OPEN


class Connection(SendQueue):
    """One open WebSocket. Its methods are called on the event loop, and none of them waits.

    What is sent to a connection that has ended goes nowhere, without an error.
    """

    __slots__ = (
        "_head",
        "_owned",
        "_received",
        "_state",
        "_store",
        "compression",
        "identity",
        "joined",
        "number",
        "opened_at",
        "params",
        "rate",
        "remote",
        "round_trip_seconds",
        "subprotocol",
    )

    def __init__(
        self,
        *,
        node: Node,
        route: Route,
        transport: asyncio.Transport,
        head: bytes,
        params: Mapping[str, str],
        remote: str,
        identity: Identity | None,
        subprotocol: str | None,
        compression: ConnectionCompression | None = None,
    ) -> None:
        super().__init__(transport, node, route)
        self.number = node.next_connection_number()
        self.identity = identity
        """Who the opening handshake proved; `None` where the route asks for no credentials."""
        self.params = params
        """Path parameters by name."""
        self.remote = remote
        """The client's address, by the word of trusted proxies where it comes through some."""
        self.subprotocol = subprotocol
        self.opened_at = node.now()
        """Seconds since the epoch."""
        self.round_trip_seconds: float | None = None
        """From the last ping to its pong; `None` before the first."""
        self.compression = compression
        self.rate: Rate | None = None
        self.joined: tuple[Group, ...] = ()
        self._head = head
        self._received = 0  # messages and bytes in one number: see `Tally`
        self._state = State.OPEN
        self._owned: Owned | None = None
        self._store: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.path} {self._state.name.lower()}>"

    @property
    def resume_set(self) -> ResumeSet | None:
        """The groups with history whose positions its tokens name; `None` without. The gateway's own."""
        return None

    def send_envelope(self, text: str) -> None:
        """Send an envelope, where the client takes them. The gateway's own."""

    @property
    def particular(self) -> bool:
        """Whether its frames are not the plain ones that a group's members share. The gateway's own."""
        return self.compression is not None

    @property
    def apart(self) -> bool:
        """Whether it is an operator's, of which the application knows nothing. The gateway's own."""
        return self._route.apart

    @property
    def id(self) -> str:
        """Unique over all nodes; not a secret."""
        return self.node.connection_id(self.number)

    @property
    def path(self) -> str:
        """The decoded path that was opened."""
        return self._route.fill(self.params)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._state is State.OPEN

    @property
    def route(self) -> str:
        """The name of the route."""
        return self._route.name

    @property
    def user(self) -> str | None:
        """The user id of the identity; `None` without one."""
        return None if self.identity is None else self.identity.user

    @property
    def tally(self) -> Tally:
        """Its messages and bytes so far, each way, pings and pongs that come or go alone left out."""
        return Tally.unpack(self._received, self._sent)

    @property
    def request(self) -> OpeningRequest:
        """The request that opened the connection; taken apart anew at each access, so keep what you need.

        Fields that say nothing beyond the opening handshake, such as `Upgrade`, are left out.
        """
        # An idle connection keeps the bytes and nothing else of it.
        return OpeningRequest(parse_head(self._head, max_lines=len(self._head)), self.path)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that it is a member of."""
        return tuple(group.name for group in self.joined if not group.name.startswith("$"))

    @property
    def state(self) -> dict[str, Any]:
        """The handlers' own data about this connection; empty at first."""
        store = self._store
        if store is None:
            store = self._store = {}
        return store

    def send(self, message: str | bytes | bytearray | memoryview) -> Awaitable[None]:
        """Send a message: `str` as text, anything else as binary. It leaves at the end of this loop turn.

        The call never waits. Whoever sends a lot may await its result: that waits until the peer has read
        enough for more to be sent, so that a file or a stream does not fill the send queue. If the
        connection ends meanwhile, the wait ends too, without an error.

        Raises:
            UnicodeEncodeError: If the text holds a lone surrogate.
            TypeError: If it is neither text nor bytes.
        """
        if self._state is _OPEN:
            if self.compression is not None:
                frame = self.compression.encode(message)
            elif type(message) is str and len(payload := message.encode()) < SHORT:
                # encode_message, written out for the usual message: the call would cost 3 percent of an echo.
                frame = SHORT_TEXT_HEADERS[len(payload)] + payload
            else:
                frame = encode_message(message)
            # SendQueue.enqueue, written out: the call would cost a tenth of an echo.
            queue = self._queue
            if queue is None:
                self._queue = [frame]
                self.node.flusher.add(self)
            else:
                if type(queue) is not list:
                    queue = self.own_queue()
                queue.append(frame)
            queued = self._queued_bytes = self._queued_bytes + len(frame)
            if queued > self._relief_bytes:
                self.relieve()
        return self

    def send_json(self, value: object) -> Awaitable[None]:
        """Send a value as JSON text; otherwise as `send`.

        Raises:
            TypeError: If JSON cannot carry it.
            ValueError: If it holds a number that JSON has no form for.
        """
        return self.send(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; nothing happens if it has begun already.

        Args:
            code: 1000, or one of 3000 to 4999 for reasons of your own; others are the protocol's.
            reason: A short text; cut at 123 bytes of UTF-8.

        Raises:
            ValueError: If the code must not be sent (RFC 6455 section 7.4).
        """
        if not may_be_sent(code):
            raise ValueError(f"close code {code} must not be sent")
        self.begin_close(code, reason, by=HANDLER)

    def join(self, group: str) -> None:
        """Join a group; nothing changes if the connection is a member, or has ended.

        Raises:
            ValueError: If the name is empty or begins with `$`.
        """
        _check_group(group)
        if self._state is State.OPEN:
            self.node.hub.join(self, group)

    def leave(self, group: str) -> None:
        """Leave a group; nothing changes if the connection is no member.

        Raises:
            ValueError: If the name is empty or begins with `$`.
        """
        _check_group(group)
        self.node.hub.leave(self, group)

    @property
    def member_id(self) -> str:
        """The id under which it counts in presence: `user:` and its user id, or its own id without one."""
        return member_id(self.identity, self.id)

    def describe(self, group: str, details: Mapping[str, Any]) -> None:
        """Say something of the member of a group that this connection counts as, for all nodes to know.

        It replaces what was said before, by whichever connection of the user, and is `Member.details` then.
        It holds until the member leaves.

        Args:
            group: The group's name; the connection is in it.
            details: Plain data as JSON has it, of at most 1,024 bytes.

        Raises:
            NoPresenceError: If gateway.yaml does not say `presence: true` of the group.
            ValueError: If the connection is not in the group, or the details are too long or no plain data.
        """
        self.node.roster.describe(self, group, details)

    def publish(
        self, group: str, message: str | bytes, *, include_sender: bool = True, key: str | None = None
    ) -> int:
        """Publish a message to a group, on every node.

        Args:
            group: Its name. The connection need not be a member.
            message: `str` for text, `bytes` for binary.
            include_sender: Whether this connection gets it too, if it is a member.
            key: What the message is the newest state of. Under the overflow policy `conflate` a slow
                member gets only the newest of each key; `None` stands for the whole group.

        Returns:
            How many connections of this node it was handed to.
        """
        return self.node.publish(group, message, exclude=None if include_sender else self, key=key)

    def publish_to_user(self, user: str, message: str | bytes, *, include_sender: bool = True) -> int:
        """Publish a message to all connections of a user, on every node; otherwise as `publish`."""
        return self.node.publish_to_user(user, message, exclude=None if include_sender else self)

    def publish_to_everyone(self, message: str | bytes, *, include_sender: bool = True) -> int:
        """Publish a message to every connection on every node; otherwise as `publish`."""
        return self.node.publish_to_everyone(message, exclude=None if include_sender else self)

    async def refresh(self, token: str) -> Identity:
        """Renew the identity with a newer token, so that the connection outlives the one that opened it.

        The token is judged as in an opening handshake, by the route's ways and the admission hooks. The
        connection leaves the groups that only the former identity named, and joins those that only the new
        one names.

        Args:
            token: The token, as the client would send it behind `Bearer`.

        Returns:
            The new identity.

        Raises:
            Refused: If the token is not good, or proves another user. The connection stays as it is.
        """
        if self.node.renew is None:
            raise refuse("unauthorized", "no way to renew an identity")
        identity = await self.node.renew(self, token)
        former = self.identity
        if former is not None and self._state is State.OPEN:
            self.identity = identity
            self.node.expiries.renew(self, former)
            self._change_groups(former, identity)
            self.node.roster.renew(self)
        return identity

    def _change_groups(self, former: Identity, identity: Identity) -> None:
        # What both name stays as the handlers have left it.
        before = dict.fromkeys(self._route.groups(self.params, former))
        now = dict.fromkeys(self._route.groups(self.params, identity))
        for name in before:
            if name not in now:
                self.node.hub.leave(self, name)
        for name in now:
            if name not in before:
                self.node.hub.join(self, name)

    def after(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function once, in so many seconds, unless the connection ends before."""
        return self._owner().after(seconds, callback, args)

    def every(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function every so many seconds until the connection ends."""
        return self._owner().every(seconds, callback, args)

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it is cancelled when the connection ends."""
        return self._owner().start_task(coroutine, name=name)

    def run_in_thread(
        self, function: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> asyncio.Future[Result]:
        """Call a function that blocks in a thread of the calling plugin; as `Node.run_in_thread`."""
        return self.node.run_in_thread_of(sys._getframe(1), function, *args, **kwargs)  # noqa: SLF001 - the caller's

    @abstractmethod
    def _make_owned(self) -> Owned:
        """Make what keeps timers and tasks."""

    def _owner(self) -> Owned:
        owned = self._owned
        if owned is None:
            owned = self._owned = self._make_owned()
            if self._state is State.CLOSED:
                owned.close()  # a handler that has waited may begin it too late
        return owned

    def _apply_overflow(self, overflow: Overflow, publication: Publication | None) -> None:
        if self.compression is not None and self.compression.keeps_context:
            # A frame left out would be missing from the context that later ones refer to.
            overflow = Overflow.DISCONNECT
        super()._apply_overflow(overflow, publication)

    def on_gap(self, *, kept: bool) -> str:
        """Tell what becomes of it when publications may be missing. The gateway's own.

        Args:
            kept: Whether they are of a group with history.

        Returns:
            `tell`, `close` or `ignore`.
        """
        return self._route.on_gap(kept=kept)

    @abstractmethod
    def begin_close(self, code: int, reason: str, *, by: str = GATEWAY) -> None:
        """Send a close frame and await the peer's. The gateway's own; handlers call `close`."""

    @abstractmethod
    def refuse_type(self) -> None:
        """End the connection with 1003: its route does not take this type of message. The gateway's own."""

    @abstractmethod
    def refuse_rate(self) -> None:
        """End the connection with 1008: its messages come too fast. The gateway's own."""

    @abstractmethod
    def refuse_event(self, reason: str) -> None:
        """End the connection with 1013: its event cannot be raised now. The gateway's own."""

    @abstractmethod
    def handler_failed(self, error: BaseException) -> None:
        """End the connection with 1011 and log what a handler raised. The gateway's own."""


def _check_group(name: str) -> None:
    if not name or name.startswith("$"):
        raise ValueError(f"not a group name: {name!r}")
