"""One link to a Valkey server, or to all primaries of a cluster."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.broker.link import LinkError
from gateway.broker.tls import client_context
from gateway.broker.valkey.cluster import Cluster
from gateway.broker.valkey.connection import Address, ValkeyConnection
from gateway.broker.valkey.ending import Ending
from gateway.broker.valkey.former import FormerLinks
from gateway.broker.valkey.history import read_place
from gateway.broker.valkey.primary import Primary

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Answered, Found, Keep, Receive
    from gateway.config import ValkeyBrokerConfig

__all__ = ["ValkeyLink"]

Answer = TypeVar("Answer")

_CHANNELS: Final = 1000
"""Channels that one command names: a server works through it in one go, and takes a million at most."""


class ValkeyLink:
    """Two connections to one Valkey server: what arrives comes through one, all else goes through the other.

    Where it is one of a cluster, there is a connection to each other primary besides, through which goes what
    concerns the keys of that primary. What is published comes through the first server all the same: the
    servers pass it on to each other.

    A node that reads too slowly is cut off by the server (`client-output-buffer-limit pubsub`); none of its
    messages is left out before that, since they are handed over as they are read.

    Args:
        config: The settings.
        url: The server's.
        receive: Gets what arrives.
        former: The node's former links. The default, `None`: there are none.
    """

    def __init__(
        self, config: ValkeyBrokerConfig, url: str, receive: Receive, former: FormerLinks | None = None
    ) -> None:
        self._config = config
        self._former = former or FormerLinks()
        self._address = Address.of(url)
        self._receive = receive
        self._context: ssl.SSLContext | None = None
        self._listening: ValkeyConnection | None = None
        self._primary: Primary | None = None
        self._cluster: Cluster | None = None
        self._asked = 0
        self._granted = 0
        self._grant = asyncio.Event()
        self._ending = Ending()
        self._ending.then(self._grant.set)
        self.ended: asyncio.Future[Exception] = self._ending.told
        self.most_bytes = config.max_message_bytes  # the server's own limit is above any that may be set

    async def open(self) -> None:
        """Connect and log in, twice, and once at each other primary; certificates are read anew each time.

        Raises:
            LinkError: If that fails, the server is a replica, or its cluster is not whole.
        """
        config = self._config
        if config.secure:
            self._context = await asyncio.to_thread(client_context, config.tls)
        self._primary = self._make(self._address, "")
        self._listening = ValkeyConnection(config, self._address, self._context)
        await self._primary.open()
        await self._listening.open()
        self._ending.start(self._read_messages)
        if self._primary.is_in_cluster:
            self._cluster = Cluster(config, self._primary, self._make, self._receive, self._ending)
            self._receive = self._cluster.receive
            await self.subscribe([self._cluster.channel])
            await self._cluster.open()

    def _make(self, address: Address, where: str) -> Primary:
        return Primary(self._config, address, self._context, self._former, self._ending, where)

    # Receiving.

    async def _read_messages(self) -> None:
        connection = self._open(self._listening)
        while True:
            kind, channel, data = await connection.read()
            if kind == b"message":
                place, data = read_place(data)
                self._receive(channel.decode(errors="replace"), data, place)
            elif kind == b"subscribe":
                self._granted += 1
                if self._granted == self._asked:
                    self._grant.set()

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Ask for channels, and wait until the server has taken it: what is sent goes another way.

        Raises:
            LinkError: If the link ends meanwhile.
        """
        if not channels:
            return
        self._asked += len(channels)
        self._grant.clear()
        await self._open(self._listening).write(_commands("SUBSCRIBE", channels))
        if self._granted < self._asked:
            await self._grant.wait()
        self._ending.check()

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Leave channels."""
        if channels:
            await self._open(self._listening).write(_commands("UNSUBSCRIBE", channels))

    # Sending.

    # These two give the coroutines of others: one more would cost each message half a microsecond.

    def send(self, messages: Sequence[tuple[str, bytes]]) -> Coroutine[Any, Any, None]:
        """Publish messages."""
        return self._opened().publish(messages)

    def keep(self, messages: Sequence[Keep], answered: Answered) -> Coroutine[Any, Any, None]:
        """Have a script keep each message and publish it."""
        return (self._cluster or self._opened()).keep(messages, answered)

    async def history(
        self,
        group: str,  # noqa: ARG002 - the channel says it
        channel: str,
        policy: HistoryPolicy,
        since: int | None,
        limit: int,
    ) -> Found:
        """Have a script read what is kept.

        Raises:
            BrokerUnavailableError: If the server refuses.
        """
        key = self._opened().history.key(channel)
        return await self._at(key, lambda primary: primary.read(channel, policy, since, limit))

    async def claim(self, key: str, seconds: float) -> bool:
        """Set a key where there is none; the server removes it.

        Raises:
            BrokerUnavailableError: If the server refuses.
        """
        # Any text may be a key, and none should be read in the server's lists.
        name = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        name = f"{self._config.prefix}.claim.{name}"
        milliseconds = max(1, math.ceil(seconds * 1000))
        return await self._at(name, lambda primary: primary.claim(name, milliseconds))

    async def _at(self, key: str, ask: Callable[[Primary], Coroutine[None, None, Answer]]) -> Answer:
        if self._cluster is None:
            return await ask(self._opened())
        return await self._cluster.at(key, ask)

    # Ending.

    def _opened(self) -> Primary:
        if self._primary is None:
            raise LinkError("the link has ended")
        return self._primary

    def _open(self, connection: ValkeyConnection | None) -> ValkeyConnection:
        self._ending.check()
        if connection is None:
            raise LinkError("the link has ended")
        return connection

    async def close(self) -> None:
        """Wait until everything that was sent is answered, and end."""
        await self._opened().settle()
        if self._cluster is not None:
            await self._cluster.settle()
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self._ending.abort()
        if self._cluster is not None:
            self._cluster.abort()
        for connection in (self._primary, self._listening):
            if connection is not None:
                connection.abort()


def _commands(command: str, channels: Sequence[str]) -> list[tuple[str, ...]]:
    return [(command, *channels[first : first + _CHANNELS]) for first in range(0, len(channels), _CHANNELS)]
