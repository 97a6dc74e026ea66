"""The bytes that the page counts, held against a relay through which all of them go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FIGURES = "**/live/figures.json"


@dataclass
class Counted:
    """One TCP connection of the relay, and how many bytes went over it, both ways together."""

    is_websocket: bool = False
    size: int = 0


class Relay:
    """A TCP relay on a port of its own that counts.

    Args:
        port: Where it leads to, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.connections: list[Counted] = []
        self.port = 0

    def size(self, *, websocket: bool) -> int:
        """Add up the bytes of all WebSockets, or of everything else."""
        return sum(counted.size for counted in self.connections if counted.is_websocket is websocket)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one TCP connection until an end of it goes."""
        counted = Counted()
        self.connections.append(counted)
        beyond, onward = await asyncio.open_connection("127.0.0.1", self._target)
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, onward, counted), self._pass(beyond, writer, counted))

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: Counted) -> None:
        try:
            while data := await reader.read(65536):
                counted.is_websocket |= b"\r\nUpgrade: websocket\r\n" in data
                counted.size += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def relay(demo: Served) -> AsyncIterator[Relay]:
    """A relay to the demonstration."""
    relay = Relay(demo.port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay


async def test_counted_bytes_are_those_on_the_wire(
    relay: Relay, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """What the page reckons for each way went over its sockets, to within two percent or one message."""
    tab = await open_page(
        f"http://localhost:{relay.port}/",
        prepare=lambda page: page.route(FIGURES, lambda route: route.abort()),
    )
    assert await tab.value("poll-bytes") == 0
    loaded = relay.size(websocket=False)
    await tab.page.unroute(FIGURES)
    await tab.at("poll-interval").select_option("0.25")
    await tab.reach("poll-points", 8)
    await tab.reach("push-points", 15)
    # Both ways are cut off, so that what is shown and what is measured stand still.
    await tab.click("link-button")
    await expect(tab.at("link-text")).to_have_text("Stopped")
    await tab.page.route(FIGURES, lambda route: route.abort())
    await tab.reach("poll-vain", await tab.value("poll-vain") + 2)
    # A request or a sample that was under way at the cut is on the wire, and the page never got it.
    polled = relay.size(websocket=False) - loaded
    assert await tab.value("poll-bytes") == pytest.approx(polled, rel=0.02, abs=1300)
    assert await tab.value("push-bytes") == pytest.approx(relay.size(websocket=True), rel=0.02, abs=300)
