"""The page of notes: rendered, then connected, and nothing lost between; the same after a dropped link."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Open = Callable[..., Awaitable[Any]]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WIDTHS = (1440, 1024, 768, 390, 360, 320)
NOTES = """
() => [...document.querySelectorAll("#notes li")].reverse().map(
  (item) => [item.querySelector(".received-text").textContent, item.dataset.how]
)
"""


async def waiting(tab: Any) -> None:
    """Wait until the page is there, not connected yet."""
    await expect(tab.at("link-text")).to_have_text("Not connected yet")


async def connected(tab: Any) -> None:
    """Wait until the page is connected, and has told what it missed."""
    await expect(tab.at("link-text")).to_have_text("Connected")
    await expect(tab.at("connection-id")).to_contain_text("-")


async def publish(tab: Any, *texts: str) -> None:
    """Publish notes from a page, one after the other."""
    for text in texts:
        await tab.at("text").fill(text)
        await tab.at("text").press("Enter")  # which a tab in the background takes at once, unlike a click
        await expect(tab.at("text")).to_have_value("")


async def shown(tab: Any) -> list[list[str]]:
    """Give the notes of a page in their order, each with the way it came."""
    pairs: list[list[str]] = await tab.page.evaluate(NOTES)
    return pairs


async def told(tab: Any, kind: str) -> str:
    """Wait until the page tells of something that happened to it; give the newest sentence of that kind."""
    sentence = tab.page.locator(f'#story [data-kind="{kind}"] span').first
    await sentence.wait_for()
    return str(await sentence.inner_text())


async def test_gap_between_rendering_and_connecting_is_replayed(demo: Served, open_page: Open) -> None:
    """A note published in between appears exactly once, in order, and is marked as replayed."""
    other = await open_page(demo.http_url("/live/notes?delay=0"), ready=connected)
    await publish(other, "before")
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    await publish(other, "between 1", "between 2")
    assert await shown(tab) == [["before", "rendered"]]
    await tab.click("link-button")
    sentence = await told(tab, "replayed")
    assert sentence.endswith("Published between rendering and connecting: 2, replayed in order.")
    await publish(tab, "after")
    await tab.reach("count-live", 1)
    expected = [
        ["before", "rendered"],
        ["between 1", "replayed"],
        ["between 2", "replayed"],
        ["after", "live"],
    ]
    assert await shown(tab) == expected
    assert [await tab.value(f"count-{how}") for how in ("rendered", "replayed", "live")] == [1, 2, 1]
    assert tab.complaints == []


async def test_visitor_chooses_the_pause(demo: Served, open_page: Open) -> None:
    """The page connects by itself after the pause, which can be made shorter while it runs, and is kept."""
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    await expect(tab.at("link-countdown")).to_contain_text(re.compile(r"connects in \d+\.\d s"))
    await tab.at("delay").focus()
    await tab.page.keyboard.press("Home")
    await expect(tab.at("delay-shown")).to_have_text("0 s")
    await connected(tab)
    assert (await told(tab, "replayed")).endswith("Published between rendering and connecting: nothing.")
    assert tab.page.url.endswith("?delay=0")
    await tab.click("load-again")
    await connected(tab)
    await expect(tab.at("delay-shown")).to_have_text("0 s")


async def test_dropped_link_recovers(demo: Served, open_page: Open) -> None:
    """What was published while the link was dropped comes once and in order when it is back."""
    other = await open_page(demo.http_url("/live/notes?delay=0"), ready=connected)
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    await tab.click("link-button")
    await told(tab, "replayed")
    await publish(other, "live 1")
    await tab.reach("count-live", 1)
    await tab.click("drop")
    assert await told(tab, "left") == "Link dropped by this page."
    await expect(tab.at("publish")).to_be_disabled()
    await publish(other, "away 1", "away 2", "away 3")
    await tab.click("link-button")
    sentence = await told(tab, "recovered")
    assert sentence.endswith("Published while the link was away: 3, recovered in order.")
    await publish(other, "live 2")
    await tab.reach("count-live", 2)
    away = [[f"away {number}", "recovered"] for number in (1, 2, 3)]
    assert await shown(tab) == [["live 1", "live"], *away, ["live 2", "live"]]


async def test_what_cannot_be_recovered_is_told(demo: Served, open_page: Open) -> None:
    """With more missed than is kept the page says so and shows nothing partial; loading again shows all."""
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    await tab.click("link-button")
    await told(tab, "replayed")
    await tab.click("drop")
    await told(tab, "left")
    for number in range(51):
        demo.node.publish("notes", f"note {number}")
    await tab.click("link-button")
    assert "Not recovered" in await told(tab, "lost")
    demo.node.publish("notes", "live")
    await tab.reach("count-live", 1)
    assert await shown(tab) == [["live", "live"]]
    await tab.click("load-again")
    await waiting(tab)
    assert len(await shown(tab)) == 50


async def test_note_in_list_and_replay_is_shown_once(
    demo: Served, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published while the page is rendered is in both, and the page knows it by its offset."""
    history = demo.broker.history

    async def publish_between(group: str, since: int | None, limit: int) -> Any:
        if limit:
            demo.node.publish("notes", "in both")
        return await history(group, since, limit)

    monkeypatch.setattr(demo.broker, "history", publish_between)
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    monkeypatch.undo()
    demo.node.publish("notes", "after")
    await tab.click("link-button")
    assert (await told(tab, "replayed")).endswith("1, replayed in order.")
    assert await shown(tab) == [["in both", "rendered"], ["after", "replayed"]]


async def test_broker_that_is_down_is_told(demo: Served, open_page: Open) -> None:
    """The page says that it has no position, connects all the same, and tells of the gap when all is well."""
    with demo.broker_outage():
        tab = await open_page(demo.http_url("/live/notes?delay=0"), ready=connected)
        await expect(tab.at("trouble")).to_contain_text("The broker does not answer")
        assert "There was no position" in await told(tab, "lost")
        await tab.at("text").fill("lost?")
        await tab.click("publish")
        await expect(tab.at("publish-result")).to_contain_text("the note may not be published")
        await expect(tab.at("text")).to_have_value("lost?")
    await expect(tab.page.locator('#story [data-kind="lost"]')).to_have_count(2)
    await tab.click("publish")
    await tab.reach("count-live", 1)


async def test_nothing_overflows(demo: Served, open_page: Open) -> None:
    """At no width does the page scroll sideways, whatever long texts have come, in light and in dark."""
    long = '{"type": "note", "from": "' + "W" * 64 + '", "text": "' + "w" * 500 + '"}'
    demo.node.publish("notes", long)
    tab = await open_page(demo.http_url("/live/notes?delay=10"), ready=waiting)
    demo.node.publish("notes", long)
    await tab.click("link-button")
    await tab.reach("count-replayed", 1)
    [connection] = demo.node.connections()
    connection.close(4403, "r" * 100)
    await expect(tab.at("link-text")).to_contain_text("rrr")
    for scheme in ("light", "dark"):
        await tab.page.emulate_media(color_scheme=scheme)
        ground = await tab.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (int(ground[4:].partition(",")[0]) < 60) == (scheme == "dark")
        for width in WIDTHS:
            await tab.page.set_viewport_size({"width": width, "height": 740})
            overflow = "() => document.documentElement.scrollWidth - innerWidth"
            assert await tab.page.evaluate(overflow) <= 0, f"{width} wide, {scheme}"


async def test_keyboard_and_names(demo: Served, open_page: Open) -> None:
    """The card of the demonstration leads here, the tab key reaches every control, and each has its name."""
    home = await open_page(demo.http_url("/"))
    await home.page.get_by_role("link", name="Open the notes").click()
    await home.page.wait_for_url("**/live/notes")
    await home.click("link-button")
    await connected(home)
    page = home.page
    await page.evaluate("() => document.activeElement.blur()")
    await page.mouse.click(2, 2)
    reached: list[str] = []
    while len(reached) < 20 and (not reached or reached[-1] != "publish"):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("() => document.activeElement.id"))
        assert await page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"
    wanted = ["link-button", "second-tab", "delay", "load-again", "drop", "story", "text", "publish"]
    assert [one for one in reached if one] == wanted
    session = await page.context.new_cdp_session(page)
    tree = await session.send("Accessibility.getFullAXTree")
    controls = {"button", "textbox", "slider", "link", "image", "log"}
    names = [
        node.get("name", {}).get("value", "")
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in controls
    ]
    assert len(names) > 8
    assert all(names), names
    assert home.complaints == []
