"""What is known of a connection: who opened it and how, where it stands, and what the gateway asks of it."""

from __future__ import annotations

from abc import abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gateway.config.models import Overflow
from gateway.core.ends import GATEWAY
from gateway.core.presence import member_id
from gateway.core.request import OpeningRequest
from gateway.core.send_queue import SendQueue
from gateway.observe.tallies import Tally
from gateway.protocol.head import parse_head

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from gateway.broker.contract import Publication
    from gateway.core.compression import ConnectionCompression
    from gateway.core.groups import Group
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.owned import Owned
    from gateway.core.rate import Rate
    from gateway.core.resuming import ResumeSet
    from gateway.core.route import Route

__all__ = ["EstablishedConnection", "State"]


class State(IntEnum):
    """How far a connection is in its life. It only goes forward."""

    OPEN = 0
    """Messages go both ways."""
    CLOSING = 1
    """Our close frame is on its way; the peer's is awaited."""
    CLOSED = 2
    """The closing handshake is over or given up; only the TCP connection is to be ended."""


class EstablishedConnection(SendQueue):
    """A WebSocket after a successful opening handshake: its facts, for handlers and for the gateway."""

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

    @property
    def member_id(self) -> str:
        """The id under which it counts in presence: `user:` and its user id, or its own id without one."""
        return member_id(self.identity, self.id)

    # The gateway's own.

    @property
    def resume_set(self) -> ResumeSet | None:
        """The groups with history whose positions its tokens name; `None` without. The gateway's own."""
        return None

    def regrouped(self) -> None:
        """Take notice that it has joined or left a group. The gateway's own."""

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

    def on_gap(self, *, kept: bool) -> str:
        """Tell what becomes of it when publications may be missing. The gateway's own.

        Args:
            kept: Whether they are of a group with history.

        Returns:
            `tell`, `close` or `ignore`.
        """
        return self._route.on_gap(kept=kept)

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
