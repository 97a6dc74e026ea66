"""The handler of the modelled connection, and the limits of its route."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway import Connection, Handler, Options

if TYPE_CHECKING:
    from gateway.core.established_connection import State

LIMITS = {
    "max_message_bytes": 300,
    "max_fragments": 4,
    "message_timeout_seconds": 11,
    "send_queue_bytes": 2000,
    "receive_backlog": 3,
    "handler_timeout_seconds": 31,
    "close_timeout_seconds": 3,
    "ping_interval_seconds": 17,
    "pong_timeout_seconds": 19,
    "max_pings_per_second": 5,
}
BIG = 200
WAITING = ("wait", "wait-raise", "wait-close", "wait-own", "stubborn", "stream")
CALM = ("plain", "say", "publish", "own", "wait", "wait", "wait-own", "stubborn", "stream")
FINAL = ("raise", "close", "flood", "flood-close", "wait-raise", "wait-close")


class Probe(Handler[Options]):
    """A handler that notes its events, and does what a message says."""

    def __init__(self, open_deed: str, close_deed: str) -> None:
        super().__init__(Options())
        self.open_deed, self.close_deed = open_deed, close_deed
        self.events: list[Any] = []
        self.sent: list[bytes] = []
        self.lost_place: set[str] = set()
        self.journal: list[str] = []
        self.releases: list[asyncio.Future[None]] = []
        self.ticks: list[State] = []
        self.most_queued = 0

    def on_open(self, connection: Connection) -> Any:
        """Note it, and do what was chosen."""
        self.events.append("open")
        return self.do(connection, self.open_deed, "open")

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Note it, and do what it says."""
        self.events.append(message)
        text = message if isinstance(message, str) else message.decode()
        return self.do(connection, text.split()[1], text)

    def on_close(self, connection: Connection, code: int, reason: str) -> Any:
        """Note it, and do what was chosen."""
        self.events.append(("close", code))
        connection.send("nowhere")
        return self.do(connection, self.close_deed, "closed")

    def do(self, connection: Connection, deed: str, name: str) -> Any:
        """Do a deed."""
        if deed in WAITING:
            return self.wait(connection, deed, name)
        if deed == "raise":
            raise ValueError("as told")
        if deed == "say":
            self.say(connection, 1)
        if deed.startswith("flood"):
            self.say(connection, 3 * LIMITS["send_queue_bytes"] // BIG)
        if deed == "publish":
            connection.publish("g", f"publication of {name}")
        if deed == "own":
            self.own(connection)
        if connection.node.metrics.overflows["disconnect"]:
            self.lost_place.add(name)
        if deed.endswith("close"):
            connection.close(4000, "as told")
        return None

    async def wait(self, connection: Connection, deed: str, name: str) -> None:
        """Do a deed that waits."""
        release = asyncio.get_running_loop().create_future()
        self.releases.append(release)
        try:
            if deed == "stream":
                for _ in range(10):
                    self.say(connection, 1)
                    await connection
                return
            while not release.done():
                try:
                    await asyncio.shield(release)
                except asyncio.CancelledError:
                    if deed != "stubborn":
                        raise
            if deed.startswith("wait-"):
                self.do(connection, deed.removeprefix("wait-"), name)
        finally:
            self.journal.append(name)

    def own(self, connection: Connection) -> None:
        """Start a timer and a task that end with the connection."""
        connection.every(1, lambda: self.ticks.append(connection._state))
        connection.start_task(asyncio.sleep(1e6))

    def say(self, connection: Connection, count: int) -> None:
        """Send numbered messages."""
        for _ in range(count):
            message = b"%04d" % len(self.sent) + bytes(BIG - 4)
            if connection.is_open:
                self.sent.append(message)
            connection.send(message)
            self.most_queued = max(self.most_queued, connection.queued_bytes)
