"""Clients that see whether everything comes: each publication once and in order, or a word about it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ledger import Ledger
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import Sequence

_AGAIN_SECONDS = 0.05
_MOST_SECONDS = 1.0


class Witness:
    """A client that comes back for ever.

    On a route with envelopes it resumes with the last token that it was given. Messages are
    `GROUP PUBLISHER NUMBER`.

    Args:
        url: Of the route.
        kept: The groups with history that it joins; none without envelopes.
        plain: Those without.
        envelope: Whether it gets envelopes.
    """

    def __init__(self, url: str, kept: Sequence[str], plain: Sequence[str], *, envelope: bool = True) -> None:
        self.url = url
        self.ledger = Ledger()
        self.connected = asyncio.Event()
        """Set while it has a connection."""
        self.connections = 0
        self.recovered = 0
        """How often it came back and got what it had missed."""
        self.not_recovered = 0
        self.codes: list[int] = []
        """The close codes of the connections that have ended."""
        self._kept = kept
        self._plain = plain
        self._envelope = envelope
        self._token: str | None = None
        self._socket: Any = None

    def drop(self) -> None:
        """Lose the connection, as if the line had been cut."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> None:
        """Connect, for ever."""
        pause = _AGAIN_SECONDS
        while True:
            former = self.connections
            try:
                await self._connect()
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                pass
            finally:
                self.connected.clear()
                self._socket = None
            pause = _AGAIN_SECONDS if self.connections > former else min(2 * pause, _MOST_SECONDS)
            await asyncio.sleep(pause)

    async def _connect(self) -> None:
        came_with = self._token
        url = self.url if came_with is None else f"{self.url}?resume={quote(came_with)}"
        options: dict[str, Any] = {
            "proxy": None,
            "compression": None,
            "ping_interval": None,
            "max_queue": None,
        }
        async with connect(url, open_timeout=5, close_timeout=0.5, **options) as socket:
            if self.connections:
                # What came meanwhile is not for it, unless it resumes.
                self._forget(self._plain if came_with else (*self._kept, *self._plain))
            self._socket = socket
            self.connections += 1
            self.connected.set()
            try:
                async for message in socket:
                    self._take(str(message))
            finally:
                self.codes.append(socket.close_code or 1006)
                # Its own connection is lost: of what it had until now that much it knows itself, whether or
                # not the gateway has closed it in order to tell.
                self._tell(self._plain if self._token else (*self._kept, *self._plain))

    def _tell(self, groups: Sequence[str]) -> None:
        for group in groups:
            self.ledger.tell(group, time.monotonic())

    def _forget(self, groups: Sequence[str]) -> None:
        for group in groups:
            self.ledger.forget(group)

    def _take(self, message: str) -> None:
        now = time.monotonic()
        if not self._envelope:
            self._count(message, now)
            return
        envelope = json.loads(message)
        self._token = envelope.get("resume", self._token)
        if "data" in envelope:
            self._count(envelope["data"], now)
        elif envelope.get("gap"):
            group = envelope.get("group")
            for told in self._plain if group is None else (group,):
                self.ledger.tell(told, now)
        elif envelope.get("recovered") is False:
            self.not_recovered += 1
            self._tell(self._kept)
            self._forget(self._kept)
        elif envelope.get("recovered"):
            self.recovered += 1

    def _count(self, message: str, now: float) -> None:
        group, publisher, number = message.split()
        self.ledger.take(group, publisher, int(number), now)
