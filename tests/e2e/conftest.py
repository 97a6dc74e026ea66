"""One browser for the session, tabs with the page in it, and the demonstration that they open.

These tests share one event loop, the session's, since the browser's connection lives in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import async_playwright, expect

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

    from gateway.testing import Served

SHIPPED = Path(__file__).parents[2] / "gateway.yaml"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # All tabs in one process, which `window` keeps warm: starting one takes longer than most of the tests.
    "--process-per-site",
    # The second tab is looked at, too.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
FETCH_SECONDS = 240
PATIENCE_MS = 30_000  # how long a condition may take on a machine under load; no test expects to wait for it

# Columns of a chart's canvas that hold its line, in pixels: where the line has come to, in one number.
LINE_WIDTH = """
(id) => {
  const host = document.getElementById(id);
  const canvas = host.querySelector("canvas");
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const accent = getComputedStyle(host).getPropertyValue("--accent").trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(accent.slice(at, at + 2), 16));
  let columns = 0;
  for (let x = 0; x < width; x += 1) {
    for (let y = 0; y < height; y += 1) {
      const at = 4 * (y * width + x);
      if (data[at + 3] > 250 && data[at] === r && data[at + 1] === g && data[at + 2] === b) {
        columns += 1;
        break;
      }
    }
  }
  return columns;
}
"""

# Keeps each text that an element shows, however shortly: `wait` would miss most of them.
KEEP_TEXTS = """
(id) => {
  const element = document.getElementById(id);
  const kept = [element.textContent];
  (window.keptTexts ??= {})[id] = kept;
  new MutationObserver((records) => {
    for (const { addedNodes } of records) for (const { textContent } of addedNodes) kept.push(textContent);
  }).observe(element, { childList: true });
}
"""


@dataclass
class Tab:
    """A tab of the browser with the page in it.

    Args:
        page: The tab.
        complaints: What the browser found wrong: errors, warnings, and what its policies forbade.
        crashes: Exceptions that no script caught. A test with one fails.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def hear(message: ConsoleMessage) -> None:
            ours = "willReadFrequently" in message.text  # `line_width` reads the canvas
            if message.type in {"error", "warning"} and not ours:
                self.complaints.append(message.text)

        self.page.on("console", hear)
        self.page.on("pageerror", lambda error: self.crashes.append(str(error)))
        self.page.set_default_timeout(PATIENCE_MS)

    def at(self, name: str) -> Locator:
        """Find an element by its id."""
        return self.page.locator(f"#{name}")

    async def click(self, name: str) -> None:
        """Click an element by its id, as soon as it can be clicked."""
        await self.at(name).click()

    async def value(self, name: str) -> float:
        """Give the bare number that an element shows."""
        return float(await self.at(name).get_attribute("data-value") or "nan")

    async def reach(self, name: str, least: float) -> None:
        """Wait until an element shows a number of at least `least`."""
        await self.page.wait_for_function(
            "([id, least]) => Number(document.getElementById(id).dataset.value) >= least", arg=[name, least]
        )

    async def line_width(self, chart: str) -> int:
        """Give the width of a chart's line in pixels."""
        width: int = await self.page.evaluate(LINE_WIDTH, chart)
        return width

    async def grow_line(self, chart: str, pixels: int) -> None:
        """Wait until a chart's line is wider than now by so many pixels."""
        least = await self.line_width(chart) + pixels
        await self.page.wait_for_function(
            f"([id, least]) => ({LINE_WIDTH})(id) >= least", arg=[chart, least], polling=100
        )

    async def keep_texts(self, name: str) -> None:
        """Begin to keep the texts that an element shows."""
        await self.page.evaluate(KEEP_TEXTS, name)

    async def kept_texts(self, name: str) -> list[str]:
        """Give the texts that an element has shown, in order, each once in a row."""
        texts: list[str] = await self.page.evaluate("(id) => window.keptTexts[id]", name)
        return [text for text, before in zip(texts, [None, *texts], strict=False) if text != before]

    async def connected(self) -> None:
        """Wait until the page's own connection is open and the chart has a sample."""
        await expect(self.at("link-state")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)
        await self.reach("push-points", 1)

    async def log(self, event: str) -> str:
        """Wait for an event in the console's log; give the text of the newest."""
        entry = self.page.locator(f'#event-log li[data-event="{event}"] .event-text').last
        await entry.wait_for()
        return await entry.inner_text()


def machine_browser() -> str | None:
    """Find Chromium or Chrome on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def fetch_browser() -> None:
    """Have playwright fetch its own Chromium, if it has none yet; fail where it cannot."""
    command = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
    why = (
        "no Chromium or Chrome on this machine, and playwright cannot fetch one; install one, or leave the "
        "tests that need it out on purpose, by -m 'not browser'"
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{why}: not done in {FETCH_SECONDS} s", pytrace=False)
    if done.returncode:
        told = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line]
        pytest.fail(f"{why}: {told[0].strip() if told else f'status {done.returncode}'}", pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests time to fetch a browser where the machine has none."""
    if machine_browser() is not None:
        return
    for item in items:
        if item.get_closest_marker("browser") and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(FETCH_SECONDS + 60))


@pytest.fixture(scope="session")
def browser_path() -> str | None:
    """The path of the machine's Chromium or Chrome; `None` for playwright's own."""
    machine = machine_browser()
    if machine is None:
        fetch_browser()
    return machine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(browser_path: str | None) -> AsyncIterator[Browser]:
    """The browser of all these tests."""
    arguments = [*ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else [*ARGUMENTS]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def window(browser: Browser) -> AsyncIterator[BrowserContext]:
    """The window of all tabs; it takes any certificate."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
    warm = await context.new_page()
    await warm.route("**/*", lambda route: route.fulfill(body=""))
    await warm.goto("http://localhost/")
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(window: BrowserContext) -> AsyncIterator[Callable[..., Awaitable[Tab]]]:
    """Give a function that opens a page in a new tab, without cookies, and waits until it is connected.

    Its arguments are the URL; `prepare`, which is called with the tab before it loads the page; and `ready`,
    which waits in place of `Tab.connected`.
    """
    tabs: list[Tab] = []
    # Ports share cookies: an operator's session would go with each request, unseen by the page that counts.
    await window.clear_cookies()

    async def start(
        url: str,
        prepare: Callable[[Page], Awaitable[None]] | None = None,
        ready: Callable[[Tab], Awaitable[None]] = Tab.connected,
    ) -> Tab:
        tab = Tab(await window.new_page())
        tabs.append(tab)
        if prepare is not None:
            await prepare(tab.page)
        await tab.page.goto(url)
        await ready(tab)
        return tab

    yield start
    for page in window.pages[1:]:
        await page.close()
    assert not [crash for tab in tabs for crash in tab.crashes]


@pytest_asyncio.fixture(loop_scope="session")
async def new_tab(window: BrowserContext) -> AsyncIterator[Callable[[], Awaitable[Tab]]]:
    """Give a function that opens a tab with nothing in it, in a window without cookies."""
    tabs: list[Tab] = []
    await window.clear_cookies()

    async def start() -> Tab:
        tabs.append(Tab(await window.new_page()))
        return tabs[-1]

    yield start
    for tab in tabs:
        await tab.page.close()
    assert not [crash for tab in tabs for crash in tab.crashes]


@pytest.fixture
def interval_seconds() -> float:
    """The time from one sample to the next; a test that needs another sets it as its parameter."""
    return 0.1


@pytest.fixture
def shipped(interval_seconds: float) -> dict[str, Any]:
    """The shipped gateway.yaml as data, but for what tests would have to wait for."""
    config: dict[str, Any] = yaml.safe_load(SHIPPED.read_text("utf-8"))
    live = next(route for route in config["routes"] if route["path"] == "/live")
    live["handlers"][0]["options"]["interval_seconds"] = interval_seconds
    config["listen"]["drain_seconds"] = 0
    return config


@pytest_asyncio.fixture(loop_scope="session")
async def demo(shipped: dict[str, Any], tmp_path: Path) -> AsyncIterator[Served]:
    """A gateway that serves the shipped demonstration."""
    async with serve(tmp_path, yaml.safe_dump(shipped, allow_unicode=True)) as served:
        yield served
