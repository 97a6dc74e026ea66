"""The page's modules that reckon, run where they belong: in a browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
ROUTES = """
routes:
  - path: /live
    handlers: [live]
"""


@pytest_asyncio.fixture
async def page(serve_gateway: Callable[..., Awaitable[Served]]) -> AsyncIterator[Page]:
    """The page of a gateway, open in a browser."""
    served = await serve_gateway(ROUTES)
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        page = await browser.new_page()
        await page.goto(served.http_url("/"))
        yield page
        await browser.close()


async def run(page: Page, module: str, script: str) -> Any:
    """Import a module of the page as `m` and give what a script returns."""
    return await page.evaluate(f"import('/live/assets/{module}.js').then((m) => {{ {script} }})")


async def test_modules_reckon_right(page: Page) -> None:
    """Each module that reckons reckons right; one browser serves for all of them."""
    await backoff_is_full_jitter(page)
    await only_passing_codes_reconnect(page)
    await frames_have_their_size(page)
    await tally_takes_each_sample_once(page)
    await clock_keeps_its_best_reading(page)
    await words_are_readable(page)


async def backoff_is_full_jitter(page: Page) -> None:
    """Pauses lie between 0 and a ceiling that doubles from 0.5 s to 15 s; a reset begins again."""
    draw = "const pauses = []; for (let i = 0; i < 8; i += 1) pauses.push(b.next());"
    highest = await run(
        page,
        "backoff",
        f"const b = new m.Backoff({{random: () => 1}}); {draw} b.reset(); return [...pauses, b.next()];",
    )
    assert highest == [0.5, 1, 2, 4, 8, 15, 15, 15, 0.5]
    lowest = await run(
        page, "backoff", f"const b = new m.Backoff({{random: () => 0}}); {draw} return pauses;"
    )
    assert set(lowest) == {0}


async def only_passing_codes_reconnect(page: Page) -> None:
    """A restart, a fault and an identity that ran out pass; a policy and withdrawn credentials do not."""
    codes = [1000, 1001, 1002, 1006, 1008, 1009, 1011, 1012, 1013, 4000, 4401, 4403]
    coming_back = await run(page, "close-codes", f"return {codes}.filter(m.mayReconnect);")
    assert coming_back == [1001, 1006, 1011, 1012, 1013, 4401]


async def frames_have_their_size(page: Page) -> None:
    """A frame's header takes 2, 4 or 10 bytes, and a client's 4 more (RFC 6455 section 5.2)."""
    sizes = [0, 125, 126, 65535, 65536]
    sent = await run(page, "wire", f"return {sizes}.map((size) => m.frameBytes(size) - size);")
    masked = await run(page, "wire", "return m.frameBytes(5, {masked: true}) - 5;")
    assert (sent, masked) == ([2, 2, 4, 4, 10], 6)
    assert await run(page, "wire", "return m.utf8Bytes('你好!');") == 7


async def tally_takes_each_sample_once(page: Page) -> None:
    """A sample that is here already does not count, old ones go, and a clock set back begins anew."""
    told = await run(
        page,
        "tally",
        """
        const tally = new m.Tally();
        const taken = [100, 101, 101, 100.5, 200, 50].map((time) => tally.add({time}));
        return [taken, tally.points, tally.samples.map(({time}) => time)];
        """,
    )
    assert told == [[True, True, False, False, True, True], 4, [50]]


async def clock_keeps_its_best_reading(page: Page) -> None:
    """Of several readings the one with the shortest round trip holds."""
    offset = await run(
        page,
        "clock",
        """
        const clock = new m.Clock();
        clock.read(10, 110.5, 11);
        clock.read(20, 125, 30);
        clock.read(40, 140.1, 40.2);
        return clock.offset;
        """,
    )
    assert offset == pytest.approx(100.0)


async def words_are_readable(page: Page) -> None:
    """Sizes and times come in the unit that fits."""
    sizes = await run(page, "words", "return [0, 999, 1000, 12345, 4.56e6, 7.89e9].map(m.bytes);")
    assert sizes == ["0 B", "999 B", "1 KB", "12.3 KB", "4.56 MB", "7.89 GB"]
    times = await run(page, "words", "return [0.0004, 0.0032, 0.9996, 1.24, 12.4].map(m.seconds);")
    assert times == ["< 1 ms", "3 ms", "1.0 s", "1.2 s", "12 s"]
