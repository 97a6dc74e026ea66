"""The fault plugin: a handler that does everything wrong, at whichever event it is told to."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from gateway import Connection, Handler, Options

EVENTS = ("open", "message", "close", "join", "leave", "change")
"""Those of connections and groups; besides there are `start` and `stop`."""


class FaultOptions(Options):
    """What goes wrong, and when."""

    fault: str
    event: str
    seconds: float = 2.0


class Awful:
    """Something that fails whatever is done with it."""

    def __await__(self) -> Any:
        yield "junk"

    def __bool__(self) -> bool:
        raise ValueError("no truth")

    def __eq__(self, other: object) -> bool:
        raise ValueError("equal to nothing")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class AwfulClass:
    """Something that does not even tell of what class it is."""

    @property
    def __class__(self) -> Any:
        raise ValueError("no class")


class AwfulError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


class Fault(Handler[FaultOptions]):
    """A handler that does what it should not."""

    def on_start(self, node: Any) -> Any:
        """Do it."""
        return self._do("start")

    def on_stop(self) -> Any:
        """Do it."""
        return self._do("stop")

    def on_open(self, connection: Connection) -> Any:
        """Do it, or be described, so that others hear of it."""
        if "change" in self.options.event:
            connection.describe("room", {"at": "first"})
        return self._do("open", connection)

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Do it; or answer, or change what is said of the member."""
        if message == "change":
            connection.describe("room", {"at": "last"})
        if message == "ask":
            connection.send("well")
            return None
        return self._do("message", connection)

    def on_close(self, connection: Connection, code: int, reason: str) -> Any:
        """Do it."""
        return self._do("close", connection)

    def on_join(self, group: str, member: Any, connections: tuple[Connection, ...]) -> Any:
        """Do it."""
        return self._do("join", *connections)

    def on_leave(self, group: str, member: Any, connections: tuple[Connection, ...]) -> Any:
        """Do it."""
        return self._do("leave", *connections)

    def on_change(self, group: str, member: Any, former: Any, connections: tuple[Connection, ...]) -> Any:
        """Do it."""
        return self._do("change", *connections)

    def _do(self, event: str, *connections: Connection) -> Any:
        if event != self.options.event:
            return None
        return getattr(self, self.options.fault)(connections)

    def nothing(self, connections: tuple[Connection, ...]) -> None:
        """Do nothing: what the others are measured beside."""

    def raises(self, connections: tuple[Connection, ...]) -> None:
        """Fail."""
        raise AwfulError

    async def raises_later(self, connections: tuple[Connection, ...]) -> None:
        """Fail after a wait."""
        await asyncio.sleep(0)
        raise AwfulError

    def exits(self, connections: tuple[Connection, ...]) -> None:
        """End the process."""
        sys.exit("the plugin exits")

    async def exits_later(self, connections: tuple[Connection, ...]) -> None:
        """End the process after a wait."""
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    def blocks(self, connections: tuple[Connection, ...]) -> None:
        """Block the event loop."""
        time.sleep(self.options.seconds)

    async def never_returns(self, connections: tuple[Connection, ...]) -> None:
        """Wait for ever."""
        await for_ever()

    async def never_gives_up(self, connections: tuple[Connection, ...]) -> None:
        """Wait for ever, though it is cancelled, but for a second time, so that the test ends."""
        try:
            await for_ever()
        except asyncio.CancelledError:
            await for_ever()

    def leaks(self, connections: tuple[Connection, ...]) -> None:
        """Leave a task behind."""
        asyncio.create_task(for_ever(), name="leaked")  # noqa: RUF006 - that is the fault

    async def leaks_later(self, connections: tuple[Connection, ...]) -> None:
        """Leave a task behind that leaves one behind, after a wait."""
        await asyncio.sleep(0)

        async def leak() -> None:
            self.leaks(connections)
            await for_ever()

        asyncio.ensure_future(leak()).set_name("leaked")

    async def floods(self, connections: tuple[Connection, ...]) -> None:
        """Send without end."""
        while True:
            for connection in connections:
                connection.send("flood" * 200)
                connection.publish("room", "flood" * 200)
            await asyncio.sleep(0)

    def junk(self, connections: tuple[Connection, ...]) -> Any:
        """Give something awful."""
        return Awful()

    def other_junk(self, connections: tuple[Connection, ...]) -> Any:
        """Give something more awful."""
        return AwfulClass()
