"""Keeps one good link to an engine: connects, proves it by probes, and connects again, for ever."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.broker.link import LinkError
from gateway.broker.tasks import end, until_one_ends

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.broker.backlog import Backlog
    from gateway.broker.contract import BrokerStatus, OnGap
    from gateway.broker.link import Keep, Link, MakeLink, Receive
    from gateway.broker.losses import Losses
    from gateway.broker.misses import Misses
    from gateway.broker.outbox import Outbox
    from gateway.broker.subscriptions import Subscriptions
    from gateway.config import LinkedBrokerConfig
    from gateway.observe.logs import Logger

__all__ = ["Keeper"]

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 2.0
"""A hundred nodes ask a broker that is down some 70 times a second."""

_SETTLED_SECONDS: Final = 5.0
"""A link that ends sooner counts as a failed try, so that one that is refused late is not made in a loop."""

_COMPLAINT_SECONDS: Final = 30.0
"""Seconds between two log lines about the same failure."""

_LEAVE_SECONDS: Final = 2.0
"""Seconds that a stop may take to send what waits."""


class Keeper:
    """The one link that a node has to its engine, and the next one when that has ended.

    Args:
        config: The settings.
        status: Where it is told how the link is.
        outbox: What is sent.
        backlog: What is sent to be kept.
        losses: Told of what may not have been kept.
        subscriptions: What every link has to ask for.
        misses: Told of each link, before it is subscribed to.
        fixed: Channels that every link has to ask for besides; the first is the probe's.
        make_link: Makes a link.
        changed: Gets the link when one is proved good, and `None` when it has ended.
        log: Where log lines go.
    """

    def __init__(
        self,
        config: LinkedBrokerConfig,
        status: BrokerStatus,
        outbox: Outbox,
        backlog: Backlog,
        losses: Losses,
        subscriptions: Subscriptions,
        misses: Misses,
        fixed: tuple[str, ...],
        make_link: MakeLink,
        changed: Callable[[Link | None], None],
        log: Logger,
    ) -> None:
        self._config = config
        self._status = status
        self._outbox = outbox
        self._backlog = backlog
        self._losses = losses
        self._subscriptions = subscriptions
        self._misses = misses
        self._fixed = fixed
        self._make_link = make_link
        self._changed = changed
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._urls = random.sample(config.urls, len(config.urls))
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._idle = asyncio.Event()
        self._linked_before = False
        self._sent = 0
        self._proved = 0
        self._probes = 0
        self._answer: asyncio.Future[None] | None = None
        self._complaint = ("", 0.0)
        self._subscribing = False
        self._subscribed: list[asyncio.Future[None]] = []
        self.trouble = ""
        """Why there is no link; empty while there is one."""

    @property
    def link(self) -> Link | None:
        """The link, while it is proved good."""
        return self._link

    async def start(self, receive: Receive, on_gap: OnGap) -> None:
        """Begin; wait until there is a link, or every server has been tried once."""
        self._task = asyncio.create_task(self._keep(receive, on_gap), name="broker")
        await self._tried.wait()

    async def stop(self) -> None:
        """Send what waits, for a short time, and end."""
        if self._link is not None:
            with suppress(Exception):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await until_one_ends(_ending(self._link), self._leave(self._link))
        if self._task is not None:
            await end([self._task])
        self._link = None
        self._status.connected = False

    async def _leave(self, link: Link) -> None:
        while self._outbox:
            self._idle.clear()
            await self._idle.wait()
        await self._backlog.idle.wait()
        await link.close()

    async def subscribed(self) -> None:
        """Wait until the engine has been asked for every channel that the node wants now.

        Raises:
            LinkError: If the link ends meanwhile.
        """
        if self._subscribing or not self._subscriptions.told:
            waiter = self._loop.create_future()
            self._subscribed.append(waiter)
            self._outbox.filled.set()
            await waiter

    def answered(self, probe: bytes) -> None:
        """Take a probe that has come back."""
        if self._answer is not None and not self._answer.done() and probe == self._probe():
            self._answer.set_result(None)

    def _probe(self) -> bytes:
        return b"%d" % self._probes

    async def _keep(self, receive: Receive, on_gap: OnGap) -> None:
        failures = 0
        tries = 0
        while True:
            url = self._urls[tries % len(self._urls)]
            tries += 1
            self._outbox.begin_link(tries)
            link = self._make_link(url, receive)
            try:
                await until_one_ends(_ending(link), self._serve(link, url, on_gap))
            except Exception as exc:  # noqa: BLE001 - whatever an engine's library raises: the next link is made
                trouble = _reason(exc)
            finally:
                link.abort()
            settled = self._down(url, trouble)
            failures = 0 if settled else failures + 1
            if tries >= len(self._urls):
                self._tried.set()
            if failures >= len(self._urls) or settled:
                await asyncio.sleep(_delay(failures))

    async def _serve(self, link: Link, url: str, on_gap: OnGap) -> None:
        async with asyncio.timeout(self._config.connect_timeout_seconds):
            await link.open()
            self._misses.begin_link()
            await link.subscribe([*self._fixed, *self._subscriptions.take_all()])
        await self._prove(link)
        self._up(link, url)
        if self._tried.is_set():
            on_gap()
        self._tried.set()
        await until_one_ends(self._send(link), self._send_kept(link), self._go_on_proving(link))

    def _up(self, link: Link, url: str) -> None:
        status = self._status
        self._link = link
        self._changed(link)
        status.connected = True
        status.since = self._loop.time()
        if self._linked_before:
            status.reconnects += 1
        self._linked_before = True
        self.trouble = ""
        self._complaint = ("", 0.0)
        self._log.info("broker_connected", server=_server(url), reconnects=status.reconnects)

    def _down(self, url: str, trouble: str) -> bool:
        """Note that there is no link; tell whether the last one was good for a while."""
        now = self._loop.time()
        status = self._status
        self.trouble = trouble
        if self._link is None:
            self._complain(url, trouble, now)
            return False
        self._link = None
        status.blind_since = status.proved_at
        self._changed(None)
        settled = now - status.since >= _SETTLED_SECONDS
        status.connected = False
        status.since = now
        unproved = self._sent - self._proved
        lost = self._outbox.cut()
        status.publications_lost += lost
        if unproved:
            self._outbox.note_loss()
        unproved += self._count_unproved(self._backlog.cut())
        status.publications_unproved += unproved
        self._subscribing = False
        waiters, self._subscribed = self._subscribed, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(LinkError("the link has ended"))
        self._log.warning(
            "broker_disconnected", server=_server(url), why=trouble, lost=lost, unproved=unproved
        )
        return settled

    def _complain(self, url: str, trouble: str, now: float) -> None:
        if self._complaint[0] != trouble or now - self._complaint[1] >= _COMPLAINT_SECONDS:
            self._complaint = (trouble, now)
            self._log.warning("broker_unreachable", server=_server(url), why=trouble)

    def _count_unproved(self, kept: list[Keep]) -> int:
        """Have all nodes told of what may have been kept, or not; give how many that is."""
        lost = [keep for keep in kept if not keep.lost]
        # The marks have to be there before there is a link again, through which more is sent.
        self._losses.add({keep.group for keep in lost}, at_once=self._link is None)
        for keep in kept:
            if keep.lost:
                self._losses.mark(keep.group)  # once more: twice does no harm
        return len(lost)

    async def _send(self, link: Link) -> None:
        while True:
            if self._outbox:
                self._outbox.filled.set()
            else:
                self._idle.set()
            await self._outbox.filled.wait()
            self._outbox.filled.clear()
            waiters = len(self._subscribed)
            asked, left = self._subscriptions.take()
            if asked:
                self._subscribing = True
                await link.subscribe(asked)
                self._subscribing = False
            if left:
                await link.unsubscribe(left)
            if waiters:
                self._tell_subscribed(waiters)
            batch = self._outbox.take()
            if batch.messages:
                self._sent += batch.publications
                await link.send(batch.messages)

    def _tell_subscribed(self, waiters: int) -> None:
        for waiter in self._subscribed[:waiters]:
            if not waiter.done():
                waiter.set_result(None)
        del self._subscribed[:waiters]

    async def _send_kept(self, link: Link) -> None:
        # Beside the other, so that an engine that is slow to keep things holds up nothing else.
        while True:
            await self._backlog.due.wait()
            # Who joins a group and publishes to it at once is to get it too.
            await self.subscribed()
            messages = self._backlog.take()
            if messages:
                await link.keep(messages, self._backlog.answered)

    async def _go_on_proving(self, link: Link) -> None:
        while True:
            await asyncio.sleep(self._config.probe_interval_seconds)
            await self._prove(link)
            overdue = self._backlog.give_up(self._config.probe_timeout_seconds)
            self._status.publications_unproved += self._count_unproved(overdue)

    async def _prove(self, link: Link) -> None:
        """Send a probe through the engine to this node, and wait for it.

        When it is back, everything that was sent before it has reached the engine. A beat goes with it, by
        which other nodes see whether they get what this one sends.
        """
        self._probes += 1
        self._answer = self._loop.create_future()
        asked_at = time.perf_counter()  # uvloop's clock counts milliseconds
        beat = self._outbox.beat()
        sent, number = self._sent, self._outbox.number
        limit = self._config.probe_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                await link.send([beat, (self._fixed[0], self._probe())])
                await self._answer
        except TimeoutError:
            raise LinkError(f"no answer to a probe in {limit:g} seconds") from None
        self._proved = sent
        self._outbox.prove(number)
        self._status.proved_at = self._loop.time()
        self._status.round_trip_seconds = time.perf_counter() - asked_at


async def _ending(link: Link) -> None:
    await asyncio.wait({link.ended})  # which does not cancel it, since others wait for it too
    raise link.ended.result()


def _delay(failures: int) -> float:
    """Give the seconds to wait after so many failures: longer from one to the next, and spread over nodes."""
    longest = min(_FIRST_DELAY_SECONDS * (1 << min(failures, 10)), _LONGEST_DELAY_SECONDS)
    return longest * random.uniform(0.3, 1)  # noqa: S311 - it hides nothing


def _server(url: str) -> str:
    return urlsplit(url).netloc


def _reason(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    if isinstance(exc, LinkError):
        return text
    if isinstance(exc, TimeoutError) and not text:
        return "no connection in time"
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
