"""A line between a node and its broker that tests can cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


class TcpProxy:
    """Passes on what comes, to a port of this machine.

    Args:
        port: Where it goes.
        context: TLS towards whoever connects; `None`: none.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        """How long it keeps what it passes on, each way."""
        self._to = port
        self._context = context
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.break_off()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def passing(self) -> set[asyncio.Task[None]]:
        """Give what passes on for the present connections; each ends when it has passed on its last."""
        return set(self._tasks)

    def swallow(self) -> None:
        """Pass on nothing any longer, while all connections stay and new ones are taken."""
        self._flows.clear()

    def mend(self) -> None:
        """Pass on again, what has come meanwhile too."""
        self._flows.set()

    def break_off(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._connect(reader, writer))

    def _spawn(self, coroutine: object) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        self._spawn(self._pass(reader, far_writer))
        self._spawn(self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await _read(reader):
                await self._flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if writer.transport.is_closing():
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read what has come, what came before a reset too: the reader would give the reset at once."""
    try:
        return await reader.read(65_536)
    except OSError:
        data = bytes(reader._buffer)
        reader._buffer.clear()
        return data
