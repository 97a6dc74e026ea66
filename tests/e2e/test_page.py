"""The charts of the page: fed by push, fed by polling, and what each costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Page

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FIGURES = "**/live/figures.json"


async def no_polling(page: Page) -> None:
    """Let no polling request through."""
    await page.route(FIGURES, lambda route: route.abort())


async def test_page_loads_without_a_complaint(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """The browser finds nothing wrong with the page, which asks for nothing from elsewhere."""
    asked: list[str] = []
    failed: list[str] = []

    async def listen(page: Page) -> None:
        page.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
        page.on("requestfailed", lambda request: failed.append(request.url))
        await page.add_init_script(
            "window.violations = [];"
            "document.addEventListener('securitypolicyviolation', (e) => violations.push(e.blockedURI));"
        )

    tab = await open_page(demo.http_url("/"), prepare=listen)
    await tab.reach("push-points", 3)
    await tab.reach("poll-points", 2)
    assert tab.complaints == []
    assert await tab.page.evaluate("window.violations") == []
    assert failed == []
    assert len(asked) > 15
    assert set(asked) == {f"localhost:{demo.port}"}
    await expect(tab.at("link-text")).to_have_text("Connected")


async def test_push_chart_moves_without_any_request(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """With polling cut off, the pushed chart goes on: samples are counted, and its line grows."""
    tab = await open_page(demo.http_url("/"), prepare=no_polling)
    points = await tab.value("push-points")
    await tab.grow_line("push-chart", 4)
    await tab.reach("push-points", points + 5)
    assert await tab.value("push-requests") == 1
    assert await tab.value("poll-points") == 0
    assert await tab.line_width("poll-chart") == 0
    await tab.reach("poll-vain", 1)


async def test_poll_chart_moves_without_push(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """With the connection stopped the polled chart goes on, and the pushed one stands until it is opened."""
    tab = await open_page(demo.http_url("/"))
    await tab.at("poll-interval").select_option("0.25")
    await tab.click("link-button")
    await expect(tab.at("link-text")).to_have_text("Stopped")
    await tab.reach("poll-points", await tab.value("poll-points") + 2)  # what came before is drawn by then
    pushed, polled = await tab.value("push-points"), await tab.value("poll-points")
    await tab.grow_line("poll-chart", 4)
    await tab.reach("poll-points", polled + 2)
    assert await tab.value("push-points") == pushed
    await tab.click("link-button")
    await tab.reach("push-points", pushed + 3)
    assert await tab.value("push-requests") == 2


@pytest.mark.parametrize("interval_seconds", [0.25])
async def test_push_costs_less_than_polling(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """For as many samples, push needs one request and fewer bytes, and the page says so."""
    tab = await open_page(demo.http_url("/"))
    await tab.at("poll-interval").select_option("0.25")
    await tab.reach("poll-points", 3)
    requests, pushed, polled = [
        await tab.value(name) for name in ("poll-requests", "push-bytes", "poll-bytes")
    ]
    assert requests >= 3
    assert min(pushed, polled) > 0
    await tab.reach("poll-requests", requests + 5)
    await tab.reach("push-bytes", pushed + 1)
    await tab.reach("poll-bytes", polled + 1)
    assert await tab.value("push-requests") == 1
    assert await tab.value("push-points") >= await tab.value("poll-points")
    assert await tab.value("push-bytes") < await tab.value("poll-bytes")
    assert await tab.value("push-delay") < await tab.value("poll-delay")
    await expect(tab.at("verdict")).to_contain_text(
        re.compile(r"polling takes [\d.]+ times the bytes of push\..* push made 1\.")
    )


async def test_charts_show_the_chosen_figure(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """Both charts change to the figure that is chosen, and count a second tab's connection."""
    tab = await open_page(demo.http_url("/"))
    await expect(tab.at("push-legend")).to_contain_text("CPU")
    choice = tab.at("figure-choice")
    await choice.get_by_text("Connections").click()
    for legend in ("push-legend", "poll-legend"):
        await expect(tab.at(legend)).to_have_text("Open1")
    await open_page(demo.http_url("/"))
    for legend in ("push-legend", "poll-legend"):
        await expect(tab.at(legend)).to_have_text("Open2")
    await choice.get_by_text("Messages").click()
    await expect(tab.at("poll-legend")).to_contain_text("Out")


async def test_late_page_begins_with_the_samples_of_before(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """A page that comes later has the recent samples at once, by one message."""
    first = await open_page(demo.http_url("/"))
    await first.reach("push-points", 15)
    late = await open_page(demo.http_url("/"), prepare=no_polling)
    assert await late.value("push-points") >= 15
    assert await late.value("push-points") - await late.value("push-messages") > 10
