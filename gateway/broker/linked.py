"""What every broker over a network does alike; an engine adds no more than its link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.broker.backlog import Backlog
from gateway.broker.channels import Channels
from gateway.broker.contract import (
    BrokerStatus,
    BrokerUnavailableError,
    History,
    MessageTooBigError,
    Publication,
    no_history,
)
from gateway.broker.keeper import Keeper
from gateway.broker.link import Keep
from gateway.broker.losses import Losses
from gateway.broker.misses import Misses
from gateway.broker.outbox import BATCH_BYTES, Outbox
from gateway.broker.subscriptions import Subscriptions
from gateway.broker.wire import Wire, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.broker.contract import (
        Deliver,
        HistoryOf,
        HistoryPolicy,
        Kept,
        Note,
        Notified,
        OnGap,
    )
    from gateway.broker.link import Found, Link, MakeLink, Place
    from gateway.config import LinkedBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["LinkedBroker"]

Answer = TypeVar("Answer")

_COMPLAINT_SECONDS: Final = 1.0

_KEY_BYTES: Final = 128
"""Bytes by which an idempotency key may make a message longer, whatever the engine does with it."""


class LinkedBroker:
    """A broker over a network.

    A publication goes to this node's members at once, and into the outbox, which one task empties through
    the link. What comes back of it is known by the node's name, and dropped.

    That of a group with history goes into the backlog instead, which another task empties; it goes to this
    node's members when the engine passes it on, as on every other node.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
        make_link: Makes a link to the engine.
        history_of: Gives how much history a group keeps.
    """

    def __init__(
        self,
        config: LinkedBrokerConfig,
        node: str,
        log: Logger,
        make_link: MakeLink,
        history_of: HistoryOf = no_history,
    ) -> None:
        self.status = BrokerStatus(patience_seconds=2 * config.probe_interval_seconds)
        self._config = config
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._channels = Channels(config.prefix, node)
        self._wire = Wire(node, config.max_message_bytes)
        self._outbox = Outbox(self._wire, self._channels, config.send_buffer_bytes)
        self._history_of = None if history_of is no_history else history_of
        self._backlog = Backlog(config.send_buffer_bytes, self._refused)
        self._losses = Losses(self._loop, self.notify, self._tell_of_any_loss, self._mark_loss)
        self._subscriptions = Subscriptions(self._loop, self._channels, self._outbox.filled.set)
        self._misses = Misses(config, self.status, self._tell_gap, log)
        fixed = (self._channels.probe, self._channels.notices)
        self._keeper = Keeper(
            config,
            self.status,
            self._outbox,
            self._backlog,
            self._losses,
            self._subscriptions,
            self._misses,
            fixed,
            make_link,
            self._limit,
            log,
        )
        self._limit(None)
        self._deliver: Deliver | None = None
        self._notified: Notified | None = None
        self._on_gap: OnGap | None = None
        self._complained_at = -_COMPLAINT_SECONDS

    async def start(self, deliver: Deliver, notified: Notified, on_gap: OnGap) -> None:
        """Try every server once; then go on trying, or give up if the broker is required.

        Raises:
            BrokerUnavailableError: If it is required, and cannot be reached.
        """
        self._deliver = deliver
        self._notified = notified
        self._on_gap = on_gap
        await self._keeper.start(self._receive, on_gap)
        if self._config.required and not self.status.connected:
            trouble = self._keeper.trouble
            await self.stop()
            raise BrokerUnavailableError(trouble)

    async def stop(self) -> None:
        """Send what waits, for a short time, and disconnect; count what could not be sent."""
        self._deliver = self._notified = self._on_gap = None
        self._subscriptions.close()
        self._misses.close()
        await self._keeper.stop()
        waited, unproved = self._backlog.close()
        lost = waited + self._outbox.cut()
        if lost or unproved:
            self.status.publications_lost += lost
            self.status.publications_unproved += unproved
            self._log.warning("broker_stop_incomplete", lost=lost, unproved=unproved)
        self._losses.close()

    def subscribe(self, group: str) -> None:
        """Receive a group."""
        self._subscriptions.add(group)

    def unsubscribe(self, group: str) -> None:
        """Receive a group no more, a little later."""
        self._subscriptions.discard(group)

    def _limit(self, link: Link | None) -> None:
        """Take over what the engine at a link's other end takes at most; without one, the settings hold."""
        most = self._config.max_message_bytes
        self._most_bytes = most if link is None else min(most, link.most_bytes)
        self._outbox.batch_bytes = min(BATCH_BYTES, self._most_bytes - self._wire.overhead)

    def publish(self, publication: Publication) -> int:
        """Deliver at once to this node's members, and put the rest on its way.

        Raises:
            BrokerUnavailableError: If the settings say `refuse`, and there is no connection or no room; for
                a group with history also if there is no room, whatever they say.
            MessageTooBigError: If it is over `max_message_bytes`, or the engine's own limit.
        """
        if self._deliver is None:
            return 0
        if self._history_of is not None:
            policy = self._history_of(publication.group)
            if policy is not None:
                return self._publish_kept(publication, policy)
        packed = self._wire.pack(publication)
        self._check_size(len(packed) + self._wire.overhead)
        refusing = self._config.when_down == "refuse"
        linked = self._keeper.link is not None
        if refusing and not linked:
            raise BrokerUnavailableError("not connected")
        channel = self._subscriptions.channel_of(publication.group)
        if refusing and not self._outbox.has_room(len(packed)):
            raise BrokerUnavailableError("too much waits to be sent")
        delivered = self._deliver(publication)
        if not linked:
            self._outbox.note_loss()
            self.status.publications_lost += 1
        elif not self._outbox.add(channel, packed):
            self.status.publications_lost += 1
            self._complain("broker_buffer_full", lost=self.status.publications_lost)
        return delivered

    def notify(self, note: Note) -> int:
        """Hand the note over here at once, and put it on its way.

        Raises:
            BrokerUnavailableError: If too many notes wait.
            MessageTooBigError: If it is over `max_message_bytes`, or the engine's own limit.
            ValueError: If it is no plain data.
        """
        if self._notified is None:
            return 0
        packed = self._wire.pack_note(note)
        self._check_size(len(packed) + self._wire.notice_overhead)
        if not self._outbox.has_room_for_notice(len(packed)):
            raise BrokerUnavailableError("too many notes wait to be sent")
        about = self._notified(note)
        self._outbox.add_notice(packed)
        return about

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            raise MessageTooBigError(size, self._most_bytes)

    async def claim(self, key: str, seconds: float) -> bool:
        """Ask the engine.

        Raises:
            BrokerUnavailableError: If it is not connected, or does not answer.
        """
        return await self._in_time(lambda link: link.claim(key, seconds))

    async def _in_time(self, ask: Callable[[Link], Coroutine[None, None, Answer]]) -> Answer:
        """Ask the engine something.

        Raises:
            BrokerUnavailableError: If it is not connected, or does not answer.
        """
        link = self._keeper.link
        if link is None or self._deliver is None:
            raise BrokerUnavailableError("not connected")
        try:
            async with asyncio.timeout(self._config.probe_timeout_seconds):
                return await ask(link)
        except BrokerUnavailableError:
            raise
        except TimeoutError:
            raise BrokerUnavailableError("no answer in time") from None
        except Exception as exc:
            # The library's error, whichever it is: in any case there is no answer.
            raise BrokerUnavailableError(f"no answer: {type(exc).__name__}") from exc

    # Groups with history.

    def _policy(self, group: str) -> HistoryPolicy:
        policy = None if self._history_of is None else self._history_of(group)
        if policy is None:
            raise ValueError("the group keeps no history")
        return policy

    def _make_keep(
        self, publication: Publication, policy: HistoryPolicy, key: str | None, *, position_wanted: bool
    ) -> Keep:
        data = self._wire.publication(self._wire.pack(publication))
        self._check_size(len(data) if key is None else len(data) + _KEY_BYTES)
        if not self._backlog.has_room(len(data)):
            raise BrokerUnavailableError("too much waits to be kept")
        group = publication.group
        channel = self._subscriptions.channel_of(group)
        return Keep(group, channel, data, policy, key, position_wanted=position_wanted)

    def _publish_kept(self, publication: Publication, policy: HistoryPolicy) -> int:
        if self._config.when_down == "refuse" and self._keeper.link is None:
            raise BrokerUnavailableError("not connected")
        self._backlog.add(self._make_keep(publication, policy, None, position_wanted=False))
        return 0

    async def store(self, publication: Publication, idempotency_key: str | None = None) -> Kept:
        """Have the engine keep it, behind all that was published before.

        Raises:
            BrokerUnavailableError: If it is not connected, does not answer, or refuses.
            MessageTooBigError: If it is over `max_message_bytes`, or the engine's own limit.
            ValueError: If the group keeps no history.
        """
        policy = self._policy(publication.group)
        keep = self._make_keep(publication, policy, idempotency_key, position_wanted=True)

        async def ask(_: Link) -> Kept:
            return await self._backlog.ask(keep)

        return await self._in_time(ask)

    async def history(self, group: str, since: int | None, limit: int) -> History:
        """Ask the engine what it keeps.

        Raises:
            BrokerUnavailableError: If it is not connected, or does not answer.
            ValueError: If the group keeps no history.
        """
        policy = self._policy(group)

        async def ask(link: Link) -> Found:
            await self._keeper.subscribed()
            return await link.history(group, self._subscriptions.channel_of(group), policy, since, limit)

        found = await self._in_time(ask)
        publications = tuple(self._read_kept(data, group, place) for place, data in found.messages)
        return History(publications, found.newest, found.floor, found.whole)

    def _read_kept(self, data: bytes, group: str, place: Place) -> Publication:
        """Read what the engine has kept; what cannot be read is one that is lost here, at its place."""
        try:
            return self._wire.read_kept(data, group, place)
        except WireError as exc:
            self._drop(exc, data)
            return Publication(group, "", None, None, *place, lost=True)

    def _refused(self, keep: Keep, error: BrokerUnavailableError) -> None:
        if keep.lost:
            return  # whoever is here has the note
        self.status.publications_refused += 1
        self._losses.add((keep.group,))
        self._complain("broker_publication_refused", why=error.fact, refused=self.status.publications_refused)

    def _mark_loss(self, group: str) -> None:
        channel = self._subscriptions.channel_of(group)
        self._backlog.mark(Keep(group, channel, self._wire.lost(), self._policy(group), lost=True))

    def _tell_of_any_loss(self) -> None:
        self._outbox.note_loss()
        self._tell_gap()

    def _tell_gap(self) -> None:
        if self._on_gap is not None:
            self._on_gap()

    # What arrives.

    def _receive(self, channel: str, data: bytes, place: Place | None = None) -> None:
        if self._deliver is None:
            return
        try:
            if place is not None:
                self._take_kept(channel, data, place)
            elif channel == self._channels.probe:
                self._keeper.answered(data)
            elif self._wire.is_own(data):
                if not self._wire.is_beat(data):  # these come all the time
                    self.status.dropped["own"] += 1
            elif channel == self._channels.notices:
                self._take_notice(data)
            else:
                self._take_publications(channel, data)
        except WireError as exc:
            self._drop(exc, data)

    def _drop(self, error: WireError, data: bytes) -> None:
        self.status.dropped[error.reason] += 1
        self._complain("broker_message_dropped", reason=error.reason, bytes=len(data))

    def _take_kept(self, channel: str, data: bytes, place: Place) -> None:
        group = self._subscriptions.group_of(channel)
        if group is None or self._deliver is None:
            return  # left a moment ago
        if place.offset < 1:
            raise WireError("junk")
        publication = self._read_kept(data, group, place)
        if publication.lost and (self._history_of is None or self._history_of(group) is None):
            return  # for other nodes the group keeps history, and for this one not
        try:
            self._deliver(publication)
        except Exception as exc:  # noqa: BLE001 - the link does not end by it
            self._complain("broker_delivery_failed", exc_info=exc)

    def _take_publications(self, channel: str, data: bytes) -> None:
        group = self._subscriptions.group_of(channel)
        if group is None or self._deliver is None:
            return  # left a moment ago
        arrived = self._wire.read_publications(data, group)
        if self._misses.is_late(arrived.node, arrived.link):
            self.status.dropped["late"] += 1
            return
        for publication in arrived.publications:
            try:
                self._deliver(publication)
            except Exception as exc:  # noqa: BLE001 - neither the others in the message nor the link end by it
                self._complain("broker_delivery_failed", exc_info=exc)

    def _take_notice(self, data: bytes) -> None:
        notice = self._wire.read_notice(data)
        note = notice.note
        self._misses.hear(notice)
        if note is None:
            self.status.blind_since = self._loop.time()
            self._tell_gap()
        elif isinstance(note, dict) and self._notified is not None:
            # Not even one that comes late is left out: to revoke what is revoked does no harm, and not to do
            # it would.
            try:
                self._notified(note)
            except Exception as exc:  # noqa: BLE001 - what is no order, or finds no room, must not end the link
                self._complain("broker_note_failed", exc_info=exc)

    def _complain(self, event: str, **facts: object) -> None:
        """Write a log line, at most once a second; the figures have all."""
        now = self._loop.time()
        if now - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at = now
            self._log.warning(event, **facts)
