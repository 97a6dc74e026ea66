"""A publisher over a WebSocket, which numbers what it publishes, and comes back when it is cut off."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import Callable

_UNSURE_SECONDS = 0.5
"""What a process has said is published may be on its way still; if it is killed, it may be lost."""

_ANSWER_SECONDS = 10.0
_AGAIN_SECONDS = 0.05


class RemotePublisher:
    """Publishes numbers to a group through a route with the handler `press`.

    To a group with history, whose name begins with `kept`, each number is tried until it is kept. Otherwise
    it has another name on each connection, since order is promised for no longer.

    Args:
        url: Of the route.
        group: The group.
        pause: Gives the seconds between two numbers.
    """

    def __init__(self, url: str, group: str, pause: Callable[[], float]) -> None:
        self.group = group
        self.name = secrets.token_hex(4)
        self.number = 0
        self.times: dict[str, list[float | None]] = {self.name: []}
        """By name: when each number was published; `None` where it may have been."""
        self.refused = 0
        self._kept = group.startswith("kept")
        self._url = url
        self._pause = pause
        self._pending: str | None = None

    async def run(self) -> None:
        """Publish, for ever."""
        while True:
            try:
                async with connect(
                    self._url,
                    proxy=None,
                    compression=None,
                    ping_interval=None,
                    open_timeout=5,
                    close_timeout=0.5,
                ) as socket:
                    await self._publish(socket)
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                if not self._kept:
                    self._begin_anew()
            await asyncio.sleep(_AGAIN_SECONDS)

    def _begin_anew(self) -> None:
        times = self.times[self.name]
        unsure = time.monotonic() - _UNSURE_SECONDS
        for index in range(len(times) - 1, -1, -1):
            published = times[index]
            if published is not None and published < unsure:
                break
            times[index] = None
        self.name = secrets.token_hex(4)
        self.number = 0
        self.times[self.name] = []

    async def _publish(self, socket: Any) -> None:
        while True:
            if self._pending is None:
                self.number += 1
                self._pending = f"{self.group} {self.name} {self.number}"
                self.times[self.name].append(time.monotonic())
            await socket.send(self._pending)
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await self._answer(socket)
            if answer == f"ok {self._pending}":
                self._pending = None
            else:
                self.refused += 1
                if not self._kept:
                    self.times[self.name][-1] = None
                    self._pending = None
            await asyncio.sleep(self._pause())

    async def _answer(self, socket: Any) -> str:
        while True:
            answer = str(await socket.recv())
            if answer[3:] == self._pending:
                return answer
