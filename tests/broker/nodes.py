"""Nodes as far as brokers know them: one side of the contract for each."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from typing import TYPE_CHECKING, Any

from nats_server import NatsServer
from thin_plugin import make_thin
from valkey_server import ValkeyServer

from gateway.broker.contract import HistoryPolicy, no_history
from gateway.broker.memory import MemoryBroker
from gateway.broker.nats import NatsBroker
from gateway.broker.valkey import ValkeyBroker
from gateway.config import NatsBrokerConfig, ValkeyBrokerConfig
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from gateway.broker.contract import Broker, HistoryOf, Note, Publication

PATIENCE_SECONDS = 30

KINDS = ("memory", "plugin", "nats", "valkey")
"""Every broker, and one that a plugin gives; the suite of the contract runs over all."""

LINKED = ("nats", "valkey")
"""Those that connect nodes."""


class Servers:
    """One server of each kind, started at its first use."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._nats: NatsServer | None = None
        self._valkey: ValkeyServer | None = None

    @property
    def nats(self) -> NatsServer:
        """A NATS server with JetStream."""
        if self._nats is None:
            self._nats = NatsServer(self._folders.mktemp("nats"), jetstream=True)
            self._nats.start()
        return self._nats

    @property
    def valkey(self) -> ValkeyServer:
        """A Valkey server."""
        if self._valkey is None:
            self._valkey = ValkeyServer(self._folders.mktemp("valkey"))
            self._valkey.start()
        return self._valkey

    def end(self) -> None:
        """End those that were started."""
        for server in (self._nats, self._valkey):
            if server is not None:
                server.end()


class Side:
    """A broker as a node has it, and what it has handed over.

    A broker may hand over more than was subscribed to, as the hub of a node passes over what no member of
    it waits for.
    """

    def __init__(self, make: Callable[[Any], Broker]) -> None:
        self._stream = io.StringIO()
        self.broker: Any = make(make_logger("debug", "json", self._stream))
        self.gaps = 0
        self._subscribed: set[str] = set()
        self._publications: asyncio.Queue[Publication] = asyncio.Queue()
        self._notes: asyncio.Queue[Note] = asyncio.Queue()

    async def start(self) -> None:
        """Start the broker."""
        await self.broker.start(self._deliver, self._notified, self._gap)

    def _deliver(self, publication: Publication) -> int:
        if publication.group not in self._subscribed:
            return 0
        self._publications.put_nowait(publication)
        return 1

    def _notified(self, note: Note) -> int:
        self._notes.put_nowait(note)
        return 1

    def _gap(self) -> None:
        self.gaps += 1

    @property
    def status(self) -> Any:
        """The broker's status."""
        return self.broker.status

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the log lines of an event."""
        return [line for line in self.log if line["event"] == name]

    def join(self, *groups: str) -> None:
        """Have a first member in groups."""
        for group in groups:
            self._subscribed.add(group)
            self.broker.subscribe(group)

    def leave(self, *groups: str) -> None:
        """Lose the last member of groups."""
        for group in groups:
            self._subscribed.discard(group)
            self.broker.unsubscribe(group)

    async def settled(self) -> None:
        """Wait until the engine has worked through everything that this node has asked of it."""
        if self.status.patience_seconds == float("inf"):
            return
        for _ in range(2):  # the first answer may be to a probe that was sent before
            proved_at = self.status.proved_at
            await until(lambda proved_at=proved_at: self.status.proved_at > proved_at)

    async def next(self) -> Publication:
        """Wait for the next publication."""
        return await asyncio.wait_for(self._publications.get(), PATIENCE_SECONDS)

    async def next_ones(self, number: int) -> list[Publication]:
        """Wait for so many publications."""
        return [await self.next() for _ in range(number)]

    async def next_note(self) -> Note:
        """Wait for the next note."""
        return await asyncio.wait_for(self._notes.get(), PATIENCE_SECONDS)

    @property
    def nothing_more(self) -> bool:
        """Whether all publications and notes have been looked at."""
        return self._publications.empty() and self._notes.empty()


def make_side(
    servers: Servers, kind: str, name: str = "one", *, history_of: HistoryOf = no_history, **options: Any
) -> Side:
    """Make a broker that is not started, as one node has it.

    Args:
        servers: The servers.
        kind: Of the broker.
        name: The node's.
        history_of: Gives how much history a group keeps.
        options: Settings; without `urls` it is the server that all tests share.
    """
    if kind == "memory":
        return Side(lambda _: MemoryBroker(history_of, options.get("idempotency_seconds", 120)))
    if kind == "plugin":
        return Side(lambda log: make_thin(name, log, history_of, options.get("idempotency_seconds", 120)))
    settings = {"probe_interval_seconds": 0.02, "probe_timeout_seconds": 15, "type": kind, **options}
    settings.setdefault("prefix", secrets.token_hex(4))
    if "urls" not in settings:
        settings["urls"] = [getattr(servers, kind).url]
    if kind == "valkey":
        valkey = ValkeyBrokerConfig.model_validate(settings)
        return Side(lambda log: ValkeyBroker(valkey, name, log, history_of))
    nats = NatsBrokerConfig.model_validate(settings)
    return Side(lambda log: NatsBroker(nats, name, log, history_of))


def some_history(group: str) -> HistoryPolicy | None:
    """Give how much history a group keeps by the beginning of its name: much, unless it says otherwise."""
    if group.startswith("plain"):
        return None
    if group.startswith("short"):
        return HistoryPolicy("short*", 5, 60)
    if group.startswith("brief"):
        return HistoryPolicy("brief*", 100, 0.3)
    return HistoryPolicy("*", 100, 60)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
