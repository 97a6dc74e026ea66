"""The page when its gateway goes: it says why, counts down, and comes back by itself."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from playwright.async_api import expect

from gateway.protocol.close_codes import CLOSE_CODES, Reconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import Page

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

COMMAND = (sys.executable, "-m", "gateway", "run", "--in-process")


@asynccontextmanager
async def run_gateway(file: Path, port: int) -> AsyncIterator[int]:
    """Run the gateway as a process of its own; give the port when it serves; stop it in order at the end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "-c",
        str(file),
        "--port",
        str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while (line := json.loads(await process.stderr.readline()))["event"] != "started":
                pass
        yield line["port"]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def fixed_chance(page: Page) -> None:
    """Take the chance out of the pauses: 0.15, 0.3, 0.6 seconds and so on."""
    await page.add_init_script("Math.random = () => 0.3;")


async def test_page_comes_back_to_a_gateway_that_was_away(
    shipped: dict[str, Any], tmp_path: Path, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """A stop shows 1001 and why, a countdown runs, and the page connects again when a gateway is back."""
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(shipped, allow_unicode=True), "utf-8")
    async with run_gateway(file, 0) as port:
        tab = await open_page(f"http://localhost:{port}/", prepare=fixed_chance)
        await tab.keep_texts("link-text")
        await tab.keep_texts("link-countdown")
        connection = await tab.at("connection-id").inner_text()
        await tab.click("connect")
        await tab.log("open")
    assert (await tab.log("close")).startswith("code 1001 (going away), reason “the gateway stops”")
    await expect(tab.at("link-countdown")).to_be_visible()
    await expect(tab.at("link-button")).to_have_text("Try now")
    points = await tab.value("push-points")
    async with run_gateway(file, port):
        await expect(tab.at("link-text")).to_have_text("Connected", timeout=20_000)
        await expect(tab.at("link-countdown")).to_be_empty()
        await tab.reach("push-points", points + 3)
        await expect(tab.at("connection-id")).not_to_have_text(connection)
        await expect(tab.at("link-button")).to_have_text("Stop")
        told = await tab.kept_texts("link-text")
        assert told[:2] == ["Connected", "Closed with 1001 (going away): the gateway stops"]
        assert told[-2:] == ["Connecting", "Connected"]
        counted = [text for text in await tab.kept_texts("link-countdown") if text]
        assert len(counted) > 2
        assert all(re.fullmatch(r"next try in \d+\.\d s", text) for text in counted)


async def test_page_keeps_its_consumer_id_over_a_return(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """After a reconnection the page says hello again, so that a push to its id still reaches it."""
    tab = await open_page(demo.http_url("/"), prepare=fixed_chance)
    consumer = await tab.at("consumer-id").input_value()
    former = await tab.at("connection-id").inner_text()
    [connection] = demo.node.connections()
    connection.close(1012, "a restart")
    await expect(tab.at("connection-id")).not_to_have_text(former)
    await expect(tab.at("link-text")).to_have_text("Connected")
    await tab.at("push-target").fill(consumer)
    await tab.click("push-one")
    await expect(tab.at("received").locator(".received-text")).to_have_text("Hello from another tab")


async def test_page_stays_away_when_told_so(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """A code that forbids coming back is shown as final; only the button opens another connection."""
    tab = await open_page(demo.http_url("/"), prepare=fixed_chance)
    [connection] = demo.node.connections()
    connection.close(4403, "signed out")
    await expect(tab.at("link-text")).to_have_text("Closed for good with 4403 (identity revoked): signed out")
    await expect(tab.at("link-countdown")).to_be_empty()
    # Time enough for the pause of a page that would come back.
    await tab.at("poll-interval").select_option("0.25")
    await tab.reach("poll-requests", await tab.value("poll-requests") + 4)
    assert await tab.value("push-requests") == 1
    assert demo.node.connections() == ()
    await tab.click("link-button")
    await expect(tab.at("link-text")).to_have_text("Connected")


async def test_page_agrees_with_the_table_of_close_codes(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """For every code that a gateway sends, the page has its name, and comes back where the table says so."""
    tab = await open_page(demo.http_url("/"))
    told = await tab.page.evaluate(
        "async (codes) => { const m = await import('/live/assets/close-codes.js');"
        " return codes.map((code) => [m.describeCode(code), m.mayReconnect(code)]); }",
        list(CLOSE_CODES),
    )
    assert told == [
        [f"{row.code} ({row.name})", row.reconnect is not Reconnect.NO] for row in CLOSE_CODES.values()
    ]
