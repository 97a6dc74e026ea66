"""How the page looks and is used: on a phone, in the dark, and without a mouse."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Wide, a small laptop, a tablet, phones, and the narrowest that WCAG 2.2 (1.4.10) asks for.
WIDTHS = (1440, 1024, 768, 390, 360, 320)
GROUND = "() => getComputedStyle(document.body).backgroundColor"
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
CONTROLS = {
    "button",
    "textbox",
    "combobox",
    "checkbox",
    "radio",
    "link",
    "image",
    "log",
    "DisclosureTriangle",
}
REACHED = """
() => {
  const reached = document.activeElement;
  return reached === document.body ? "" : reached.id || reached.name || reached.textContent.trim();
}
"""


def brightness(colour: str) -> float:
    """Give the brightness of a colour written as `rgb(...)`, 0 to 1."""
    return sum(map(int, colour[4:-1].split(","))) / (3 * 255)


async def test_nothing_overflows(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """At no width does the page scroll sideways, whatever long texts have come, in light and in dark."""
    tab = await open_page(demo.http_url("/"))
    await tab.at("consumer-id").fill("i" * 64)
    await tab.at("push-text").fill("w" * 500)
    await tab.click("push-all")
    await tab.at("received").locator("li").wait_for()
    await tab.click("connect")
    await tab.log("open")
    await tab.at("message").fill("m" * 500)
    await tab.click("send")
    await tab.log("message")
    await tab.page.get_by_text("How this is counted").click()
    [connection] = [one for one in demo.node.connections() if one.path == "/live"]
    connection.close(4403, "r" * 100)
    await expect(tab.at("link-text")).to_contain_text("rrr")
    for scheme, width in product(("light", "dark"), WIDTHS):
        await tab.page.emulate_media(color_scheme=scheme)
        await tab.page.set_viewport_size({"width": width, "height": 740})
        assert await tab.page.evaluate(OVERFLOW) <= 0, f"{width} wide, {scheme}"


async def test_dark_follows_the_system(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """The page changes its colours with the system's, and its charts with them."""
    tab = await open_page(demo.http_url("/"))
    await tab.page.emulate_media(color_scheme="light")
    await tab.grow_line("push-chart", 1)
    light = await tab.page.evaluate(GROUND)
    await tab.page.emulate_media(color_scheme="dark")
    dark = await tab.page.evaluate(GROUND)
    assert brightness(dark) < 0.2
    assert brightness(light) > 0.8
    await tab.grow_line("push-chart", 1)  # which looks for the accent of the dark
    assert tab.complaints == []


async def test_everything_has_an_accessible_name(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """Each control, chart and list has a name for those who do not see it, as the browser reckons names."""
    tab = await open_page(demo.http_url("/"))
    session = await tab.page.context.new_cdp_session(tab.page)
    tree = await session.send("Accessibility.getFullAXTree")
    nodes = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert len(nodes) > 25
    assert [role for role, name in nodes if not name.strip()] == []
    named = {name for _, name in nodes}
    assert any("CPU" in name for name in named), named
    assert await tab.page.get_by_role("heading", level=1).count() == 1
    assert await tab.page.locator("html").get_attribute("lang") == "en"


async def test_keyboard_reaches_every_control(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """The tab key goes through all controls that are enabled and round again, and each shows its focus."""
    tab = await open_page(demo.http_url("/"))
    await tab.click("connect")
    await tab.log("open")
    wanted = await tab.page.evaluate(
        "() => [...document.querySelectorAll('button, input:not([type=radio]), select')].map(({ id }) => id)"
    )
    await tab.page.evaluate("() => document.activeElement.blur()")
    await tab.page.mouse.click(2, 2)
    reached: list[str] = []
    for _ in range(60):
        await tab.page.keyboard.press("Tab")
        name = await tab.page.evaluate(REACHED)
        if reached and name == reached[0]:
            break
        reached.append(name)
        if name:
            style = "() => getComputedStyle(document.activeElement).outlineStyle"
            assert name == "figure" or await tab.page.evaluate(style) != "none", name
    assert reached[0] == "Skip to the content"
    enabled = {one for one in wanted if await tab.at(one).is_enabled()}
    assert enabled - set(reached) == set()
    assert "figure" in reached
    assert len(enabled) > 15
