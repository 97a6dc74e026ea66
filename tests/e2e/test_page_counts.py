"""The bytes that the page counts, held against a relay through which all of them go."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FIGURES = "/live/figures.json"
WEBSOCKET = "/live"


class Relay:
    """A TCP relay on a port of its own that counts.

    Args:
        port: Where it leads to, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.sizes: Counter[str] = Counter()
        """Bytes by the path that was asked for, both ways together. What the browser gets for itself, such as
        the page's icon a while after everything else, is counted as its own."""
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one TCP connection until an end of it goes."""
        beyond, onward = await asyncio.open_connection("127.0.0.1", self._target)
        asked = [""]
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, onward, asked), self._pass(beyond, writer, asked))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str]
    ) -> None:
        try:
            while data := await reader.read(65536):
                if data.startswith(b"GET /"):  # a browser awaits an answer before it asks again
                    asked[0] = data.split(b" ", 2)[1].decode().partition("?")[0]
                self.sizes[asked[0]] += len(data)
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
        prepare=lambda page: page.route(f"**{FIGURES}", lambda route: route.abort()),
    )
    assert await tab.value("poll-bytes") == 0
    assert relay.sizes[FIGURES] == 0
    await tab.page.unroute(f"**{FIGURES}")
    await tab.at("poll-interval").select_option("0.25")
    await tab.reach("poll-points", 8)
    await tab.reach("push-points", 15)
    # Both ways are cut off, so that what is shown and what is measured stand still.
    await tab.click("link-button")
    await expect(tab.at("link-text")).to_have_text("Stopped")
    await tab.page.route(f"**{FIGURES}", lambda route: route.abort())
    await tab.reach("poll-vain", await tab.value("poll-vain") + 2)
    # A sample that was under way at the cut is on the wire, and the page never got it.
    polled, pushed = relay.sizes[FIGURES], relay.sizes[WEBSOCKET]
    assert await tab.value("poll-bytes") == pytest.approx(polled, rel=0.02, abs=300)
    assert await tab.value("push-bytes") == pytest.approx(pushed, rel=0.02, abs=300)
