"""The registry of this node's connections and groups, and the fan-out to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gateway.core.envelope_connection import EnvelopeConnection
from gateway.core.groups import EVERYONE, Group, user_group
from gateway.core.shared_frames import EAGER_BYTES
from gateway.observe.families import OTHER
from gateway.protocol.encoding import DEFLATED, encode_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.broker.contract import Publication
    from gateway.config.models import Overflow
    from gateway.core.compression import SharedCompression
    from gateway.core.connection import Connection
    from gateway.core.enveloping import Enveloping
    from gateway.core.flusher import Flusher
    from gateway.core.presence_group import GroupPresence
    from gateway.core.send_queue import SendQueue
    from gateway.observe.metrics import Metrics
    from gateway.observe.tallies import GroupTally

__all__ = ["Hub"]

_FEW: Final = 4  # members that are not worth a queue which they share


class Subscriber(Protocol):
    """What is told which groups have members here."""

    def subscribe(self, group: str) -> None:
        """Begin to receive a group."""

    def unsubscribe(self, group: str) -> None:
        """Cease to receive a group."""


class Hub:
    """This node's connections and their groups.

    Args:
        broker: Told when a group gains its first member here, and when it loses its last.
        flusher: What writes the send queues at the end of the turn.
        metrics: Where deliveries are counted.
        number_of: Gives the number of a connection of this node by its id; -1 for others' connections.
        policy: Gives a group's overflow policy by its name; `None` where the connections' own holds.
        envelop: Puts a publication into envelopes.
    """

    def __init__(
        self,
        broker: Subscriber,
        flusher: Flusher,
        metrics: Metrics,
        number_of: Callable[[str], int],
        policy: Callable[[str], Overflow | None],
        envelop: Callable[[Publication], Enveloping],
    ) -> None:
        self._broker = broker
        self._envelop = envelop
        self._flusher = flusher
        self._metrics = metrics
        self._number_of = number_of
        self._policy = policy
        self.pattern_of: Callable[[str], str] = lambda _: OTHER
        """Gives the pattern under which a group is counted, by its name."""
        self.presence_of: Callable[[str], GroupPresence | None] = lambda _: None
        """Gives what is known of who is in a group over all nodes, by its name."""
        self._groups: dict[str, Group] = {}
        self.apart: set[Connection] = set()
        """Open connections of operators, which are in no group of the application's, and not counted."""
        self._everyone = Group(EVERYONE, None, metrics.group_tally(EVERYONE))
        self._groups[EVERYONE] = self._everyone
        self._own_groups = 1

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All open connections of this node."""
        return self._everyone.members

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that have members here, the gateway's own left out."""
        return tuple(name for name in self._groups if not name.startswith("$"))

    @property
    def group_count(self) -> int:
        """How many groups have members here, the gateway's own left out."""
        return len(self._groups) - self._own_groups

    def sizes(self) -> list[tuple[str, int]]:
        """Give every group that has members here, the gateway's own among them, and how many."""
        return [(name, len(group)) for name, group in self._groups.items()]

    def __len__(self) -> int:
        return len(self._everyone)

    def add(self, connection: Connection) -> None:
        """Register an open connection."""
        if connection.apart:
            self.apart.add(connection)
            return
        self._everyone.add(connection)
        if connection.identity is not None:
            self.join(connection, user_group(connection.identity.user))
        self._metrics.connections += 1
        self._metrics.connections_opened += 1

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was added: it leaves its groups."""
        if connection.apart:
            self.apart.discard(connection)
        else:
            self._everyone.discard(connection)
            self._metrics.connections -= 1
        for group in connection.joined:
            self._leave(group, connection)
            if group.presence is not None:
                group.presence.discard(connection, for_good=False)
        connection.joined = ()

    def join(self, connection: Connection, name: str) -> None:
        """Make a connection a member of a group; nothing changes if it is one."""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, self._policy(name), self._tally(name))
            group.presence = self.presence_of(name)
            self._own_groups += name.startswith("$")
            self._broker.subscribe(name)
        if group not in connection.joined:
            if group.presence is not None:
                group.presence.add(connection)
            group.add(connection)
            connection.joined += (group,)
            connection.regrouped()

    def _tally(self, name: str) -> GroupTally:
        return self._metrics.group_tally(self.pattern_of(name))

    def leave(self, connection: Connection, name: str) -> None:
        """Make a connection a member of a group no more; nothing changes if it is none."""
        group = self._groups.get(name)
        if group is not None and group in connection.joined:
            connection.joined = tuple(other for other in connection.joined if other is not group)
            connection.regrouped()
            self._leave(group, connection)
            if group.presence is not None:
                group.presence.discard(connection, for_good=True)

    def _leave(self, group: Group, connection: Connection) -> None:
        group.discard(connection)
        if not group:
            del self._groups[group.name]
            self._own_groups -= group.name.startswith("$")
            self._broker.unsubscribe(group.name)

    def members(self, name: str) -> tuple[Connection, ...]:
        """Give a group's members on this node."""
        group = self._groups.get(name)
        return group.members if group is not None else ()

    def broadcast(self, publication: Publication) -> int:
        """Hand a publication to the group's members on this node; give how many got it.

        It is encoded once. A thousand members cost 60 µs here at a group's first publication in a turn, and
        one write each at the turn's end.
        """
        group = self._groups.get(publication.group)
        if group is None:
            return 0
        if group.particular:
            delivered = self._broadcast_particular(group, publication)
        else:
            delivered = self._broadcast(group, publication)
        tally = group.tally
        tally.publications += 1
        tally.deliveries += delivered
        return delivered

    def _excluded(self, publication: Publication) -> int:
        return -1 if publication.exclude is None else self._number_of(publication.exclude)

    def _broadcast(self, group: Group, publication: Publication) -> int:
        frame = encode_message(publication.message)
        if len(group) < _FEW:
            return self._append_each(group, group.present(), frame, publication)
        size = len(frame)
        excluded = self._excluded(publication)
        shared = group.shared
        if shared is None or shared.size + size > EAGER_BYTES:
            shared = self._flusher.share(group)
        if excluded >= 0:
            shared.leave_out(group.present(), excluded)
        shared.append(frame)
        shared.size += size
        return len(group) - len(shared.others) + self._append_each(group, shared.others, frame, publication)

    def _append_each(
        self, group: Group, members: Iterable[SendQueue], frame: bytes, publication: Publication
    ) -> int:
        """Put a frame into the queues of members that have, or get, one of their own."""
        excluded = self._excluded(publication)
        size = len(frame)
        add = self._flusher.add
        delivered = 0
        for member in members:
            if member.number == excluded:
                continue
            # SendQueue.enqueue, written out: the call would double the cost of a delivery.
            queue = member._queue  # noqa: SLF001
            if queue is None:
                member._queue = [frame]  # noqa: SLF001
                add(member)
            else:
                if type(queue) is not list:
                    queue = member.own_queue()
                queue.append(frame)
            queued = member._queued_bytes = member._queued_bytes + size  # noqa: SLF001
            if queued > member._relief_bytes:  # noqa: SLF001
                member.relieve(group.overflow, publication)
            delivered += 1
        return delivered

    def _broadcast_particular(self, group: Group, publication: Publication) -> int:
        """As `_broadcast`, where some members take compressed messages or envelopes: once for all alike."""
        message = publication.message
        excluded = self._excluded(publication)
        plain = encode_message(message)
        add = self._flusher.add
        compressed: dict[SharedCompression, bytes] = {}
        enveloping: Enveloping | None = None
        delivered = 0
        for member in group.present():
            if member.number == excluded:
                continue
            frame = plain
            compression = member.compression
            if isinstance(member, EnvelopeConnection):
                if enveloping is None:
                    enveloping = self._envelop(publication)
                frame = enveloping.frame(member)
            elif compression is not None:
                shared = compression.shared
                found = compressed.get(shared)
                if found is None:
                    found = compressed[shared] = shared.encode(message)
                if found[0] & DEFLATED:
                    frame = found
                    compression.forget()
            queue = member._queue  # noqa: SLF001
            if queue is None:
                member._queue = [frame]  # noqa: SLF001
                add(member)
            else:
                if type(queue) is not list:
                    queue = member.own_queue()
                queue.append(frame)
            queued = member._queued_bytes = member._queued_bytes + len(frame)  # noqa: SLF001
            if queued > member._relief_bytes:  # noqa: SLF001
                member.relieve(group.overflow, publication)
            delivered += 1
        return delivered
