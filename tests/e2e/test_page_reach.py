"""Push to all and push to one, tried with two tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from playwright.async_api import expect

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TEXTS = ".received-text"


@pytest.fixture
def open_two(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Give a function that opens the page in two tabs of one window."""

    async def start() -> Any:
        first = await open_page(demo.http_url("/"))
        return first, await open_page(demo.http_url("/"))

    return start


async def test_push_to_all_is_seen_in_both_tabs(open_two: Callable[[], Awaitable[Any]]) -> None:
    """A text for all reaches both tabs, and names its sender; no element comes of markup in it."""
    first, second = await open_two()
    text = "for all of you: <img src=x onerror=alert(1)> & <b>bold</b>"
    await first.at("push-text").fill(text)
    await first.click("push-all")
    sender = await first.at("consumer-id").input_value()
    for tab in (first, second):
        await expect(tab.at("received").locator("li")).to_have_count(1)
        await expect(tab.at("received").locator(TEXTS)).to_have_text(text)
        await expect(tab.at("received").locator("strong")).to_have_text(sender)
        await expect(tab.at("received").locator(".badge")).to_have_text("to all")
    await expect(first.at("push-result")).to_have_text("Reached 2 connections.")
    await expect(second.at("toasts")).to_contain_text(text)
    await expect(first.at("toasts")).to_be_empty()
    assert await second.page.locator("#received img, #received b, #toasts img, #toasts b").count() == 0
    assert second.complaints == []


async def test_push_to_one_is_seen_in_that_tab_alone(open_two: Callable[[], Awaitable[Any]]) -> None:
    """Each tab has a consumer id of its own; a text for one of them reaches no other.

    A tab takes another id, is reached by it, and is told when an id will not do.
    """
    first, second = await open_two()
    ids = [await tab.at("consumer-id").input_value() for tab in (first, second)]
    assert len(set(ids)) == 2
    await expect(second.at("consumer-note")).to_contain_text(ids[1])
    await first.at("push-text").fill("for you alone")
    await first.at("push-target").fill(ids[1])
    await first.click("push-one")
    await expect(second.at("received").locator(TEXTS)).to_have_text("for you alone")
    await expect(second.at("received").locator(".badge")).to_have_text("to this page alone")
    await expect(first.at("push-result")).to_have_text("Reached 1 connection.")
    # What comes later to all arrives behind it, so by then a text gone astray would be here, too.
    await second.click("push-all")
    await expect(first.at("received").locator(TEXTS)).to_have_text(["Hello from another tab"])

    await second.at("consumer-id").fill("not an id")
    await second.at("consumer-id").press("Tab")
    await expect(second.at("consumer-id")).to_have_attribute("aria-invalid", "true")
    await second.at("consumer-id").fill("desk.7")
    await second.at("consumer-id").press("Tab")
    await expect(second.at("consumer-note")).to_contain_text("desk.7")
    await first.at("push-text").fill("for the desk")
    await first.at("push-target").fill("desk.7")
    await first.at("push-target").press("Enter")
    await expect(second.at("received")).to_contain_text("for the desk")


async def test_second_tab_opens_from_the_page(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """The link opens the page in a tab whose consumer id differs; a reload keeps the id."""
    first = await open_page(demo.http_url("/"))
    async with first.page.context.expect_page() as opened:
        await first.page.get_by_role("link", name="a second tab").click()
    page = await opened.value
    field = page.locator("#consumer-id")
    await expect(field).not_to_have_value("")
    consumer = await field.input_value()
    assert consumer != await first.at("consumer-id").input_value()
    await page.reload()
    await expect(field).to_have_value(consumer)


async def test_push_to_nobody_says_so(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """A push to an id that no page has, or without an id or a text, is answered in words."""
    tab = await open_page(demo.http_url("/"))
    result = tab.at("push-result")
    await tab.click("push-one")
    await expect(result).to_have_text("Name the consumer to reach.")
    await tab.at("push-target").fill("nobody")
    await tab.click("push-one")
    await expect(result).to_have_text("No page here has the consumer id “nobody”.")
    await tab.at("push-text").fill("")
    await tab.click("push-all")
    await expect(result).to_have_text("Write a text first.")


async def test_texts_do_not_count_among_the_costs(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """What pages push to each other leaves the comparison of the two ways as it is."""
    tab = await open_page(demo.http_url("/"))
    await tab.at("push-text").fill("w" * 500)
    for _ in range(20):
        await tab.click("push-all")
    await expect(tab.at("received").locator("li")).to_have_count(20)
    await tab.reach("push-points", 20)
    assert 150 < await tab.value("bar-push-each-value") < 400
    assert await tab.value("push-messages") < await tab.value("push-points") + 5


async def test_http_call_reaches_the_page(
    shipped: dict[str, Any], tmp_path: Path, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """An authenticated call of the HTTP API pushes to one tab by its consumer id."""
    environ = {"GATEWAY_API_TOKEN": "a-token-for-this-test"}
    async with serve(tmp_path, yaml.safe_dump(shipped), environ=environ) as served:
        first = await open_page(served.http_url("/"))
        second = await open_page(served.http_url("/"))
        consumer = await second.at("consumer-id").input_value()
        await expect(second.at("consumer-note")).to_contain_text(consumer)
        push = {"type": "push", "from": None, "to": consumer, "text": "your report is ready"}
        headers = {"Authorization": "Bearer a-token-for-this-test"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(
                served.admin_url("/api/publish"), json={"group": f"consumer:{consumer}", "data": push}
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()
        await expect(second.at("received").locator(TEXTS)).to_have_text("your report is ready")
        await expect(second.at("received").locator("strong")).to_have_text("someone")
        await expect(first.at("received").locator("li")).to_have_count(0)


async def test_pushing_can_be_off(
    shipped: dict[str, Any], tmp_path: Path, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """Where the route does not allow pushes, the page says so and offers none."""
    shipped["routes"][0]["handlers"][0]["options"]["allow_push"] = False
    async with serve(tmp_path, yaml.safe_dump(shipped)) as served:
        tab = await open_page(served.http_url("/"))
        await expect(tab.at("push-all")).to_be_disabled()
        await expect(tab.at("push-one")).to_be_disabled()
        await expect(tab.at("push-result")).to_contain_text("allow_push is off")
