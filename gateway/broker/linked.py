"""What every broker over a network does alike; an engine adds no more than its link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.broker.channels import Channels
from gateway.broker.contract import BrokerStatus, BrokerUnavailableError, MessageTooBigError
from gateway.broker.keeper import Keeper
from gateway.broker.outbox import BATCH_BYTES, Outbox
from gateway.broker.subscriptions import Subscriptions
from gateway.broker.wire import Wire, WireError

if TYPE_CHECKING:
    from gateway.broker.contract import Deliver, Note, Notified, OnGap, Publication
    from gateway.broker.link import Link, MakeLink
    from gateway.config import LinkedBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["LinkedBroker"]

_COMPLAINT_SECONDS: Final = 1.0


class LinkedBroker:
    """A broker over a network.

    A publication goes to this node's members at once, and into the outbox, which one task empties through
    the link. What comes back of it is known by the node's name, and dropped.

    Args:
        config: The settings.
        node: The node's name; no other node has it.
        log: Where log lines go.
        make_link: Makes a link to the engine.
    """

    def __init__(self, config: LinkedBrokerConfig, node: str, log: Logger, make_link: MakeLink) -> None:
        self.status = BrokerStatus(patience_seconds=2 * config.probe_interval_seconds)
        self._config = config
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._channels = Channels(config.prefix, node)
        self._wire = Wire(node, config.max_message_bytes)
        self._outbox = Outbox(self._wire, self._channels, config.send_buffer_bytes)
        self._subscriptions = Subscriptions(self._loop, self._channels, self._outbox.filled.set)
        fixed = (self._channels.probe, self._channels.notices)
        self._keeper = Keeper(
            config, self.status, self._outbox, self._subscriptions, fixed, make_link, self._limit, log
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
        """Send what waits, for a short time, and disconnect."""
        self._deliver = self._notified = self._on_gap = None
        self._subscriptions.close()
        await self._keeper.stop()

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
            BrokerUnavailableError: If the settings say `refuse`, and there is no connection or no room.
            MessageTooBigError: If it is over `max_message_bytes`, or the engine's own limit.
        """
        if self._deliver is None:
            return 0
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
        message = self._wire.note(note)
        self._check_size(len(message))
        if not self._outbox.has_room_for_notice(len(message)):
            raise BrokerUnavailableError("too many notes wait to be sent")
        about = self._notified(note)
        self._outbox.add_notice(message)
        return about

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            raise MessageTooBigError(size, self._most_bytes)

    async def claim(self, key: str, seconds: float) -> bool:
        """Ask the engine.

        Raises:
            BrokerUnavailableError: If it is not connected, or does not answer.
        """
        link = self._keeper.link
        if link is None or self._deliver is None:
            raise BrokerUnavailableError("not connected")
        try:
            async with asyncio.timeout(self._config.probe_timeout_seconds):
                return await link.claim(key, seconds)
        except BrokerUnavailableError:
            raise
        except TimeoutError:
            raise BrokerUnavailableError("no answer in time") from None
        except Exception as exc:
            # The library's error, whichever it is: in any case there is no answer.
            raise BrokerUnavailableError(f"no answer: {type(exc).__name__}") from exc

    # What arrives.

    def _receive(self, channel: str, data: bytes) -> None:
        if self._deliver is None:
            return
        try:
            if channel == self._channels.probe:
                self._keeper.answered(data)
            elif self._wire.is_own(data):
                self.status.dropped["own"] += 1
            elif channel == self._channels.notices:
                self._take_notice(data)
            else:
                self._take_publications(channel, data)
        except WireError as exc:
            self.status.dropped[exc.reason] += 1
            self._complain("broker_message_dropped", reason=exc.reason, bytes=len(data))

    def _take_publications(self, channel: str, data: bytes) -> None:
        group = self._subscriptions.group_of(channel)
        if group is None or self._deliver is None:
            return  # left a moment ago
        for publication in self._wire.read_publications(data, group):
            try:
                self._deliver(publication)
            except Exception as exc:  # noqa: BLE001 - neither the others in the message nor the link end by it
                self._complain("broker_delivery_failed", exc_info=exc)

    def _take_notice(self, data: bytes) -> None:
        note = self._wire.read_notice(data)
        if note is None and self._on_gap is not None:
            self._on_gap()
        elif note is not None and self._notified is not None:
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
