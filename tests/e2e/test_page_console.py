"""The console: the browser's own WebSocket, its states and its four events as they happen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from playwright.async_api import expect

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ANNOUNCEMENT = "接收到客户端的消息:"


async def test_a_conversation_from_connect_to_close(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """A text comes back announced, and readyState is shown by name and number through all its four values."""
    tab = await open_page(demo.http_url("/"))
    state = tab.at("ready-state")
    await expect(state).to_have_text("no socket yet")
    await expect(tab.at("send")).to_be_disabled()
    await expect(tab.at("console-url")).to_have_value(demo.url("/echo"))
    await tab.keep_texts("ready-state")
    await tab.click("connect")
    assert (await tab.log("open")).startswith("subprotocol none, extensions ")
    await expect(state).to_have_attribute("data-value", "1")
    await tab.at("message").fill("你好, gateway")
    await tab.click("send")
    size = len(f"{ANNOUNCEMENT}你好, gateway".encode())
    assert await tab.log("message") == f"text, {size} bytes: {ANNOUNCEMENT}你好, gateway"
    await tab.click("disconnect")
    assert await tab.log("close") == "code 1000 (normal closure), reason none, wasClean true"
    await expect(state).to_have_attribute("data-value", "3")
    assert await tab.kept_texts("ready-state") == [
        "no socket yet",
        "CONNECTING (0)",
        "OPEN (1)",
        "CLOSING (2)",
        "CLOSED (3)",
    ]
    await expect(tab.at("send")).to_be_disabled()
    await expect(tab.at("connect")).to_be_enabled()
    assert tab.complaints == []


async def test_a_binary_message_and_a_private_close_code(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """A binary message goes out and comes back as bytes, the announcement before it.

    A close code of one's own goes out, and the close event shows code, reason and wasClean.
    """
    tab = await open_page(demo.http_url("/"))
    await tab.click("connect")
    await tab.log("open")
    await tab.at("message-binary").check()
    await tab.at("message").fill("abc")
    await tab.at("message").press("Enter")
    assert (await tab.log("sent")).startswith("binary, 3 bytes: abc")
    expected = f"{ANNOUNCEMENT}abc".encode()
    assert await tab.log("message") == f"binary, {len(expected)} bytes: {expected.hex(' ')}"
    await tab.at("close-code").fill("4000")
    await tab.at("close-reason").fill("enough")
    await tab.click("disconnect")
    assert await tab.log("closing") == "asked with code 4000 and reason “enough”"
    assert re.fullmatch(r"code 4000, reason (none|“enough”), wasClean true", await tab.log("close"))
    assert demo.node.metrics.closes[4000] == 1


async def test_buffered_amount_rises_and_falls(
    demo: Served, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """What the browser has yet to put on the wire is shown as it is sent, and 0 when it has gone.

    The code and reason that a gateway closes with are shown, as after a message over the limit.
    """
    tab = await open_page(demo.http_url("/"))
    await tab.click("connect")
    await tab.log("open")
    await tab.keep_texts("buffered-amount")
    await tab.at("message").fill("y" * 60_000)
    await tab.click("send")
    await tab.log("message")
    await expect(tab.at("buffered-amount")).to_have_text("0 bytes")
    assert await tab.kept_texts("buffered-amount") == ["0 bytes", "60,000 bytes", "0 bytes"]
    await tab.at("message").fill("x" * 70_000)
    await tab.click("send")
    assert (await tab.log("close")).startswith("code 1009 (message too big), reason “")


async def test_what_fails_is_shown(demo: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """Another origin is blocked by the page's policy, and the log says that it was.

    A path that no route has gives an error event, then a close event with 1006. A URL or close code that
    WebSocket's own methods refuse shows in the log, and harms nothing.
    """
    tab = await open_page(demo.http_url("/"))
    await tab.at("console-url").fill(f"ws://127.0.0.1:{demo.port}/echo")
    await tab.click("connect")
    assert "Content-Security-Policy" in await tab.log("blocked")
    await tab.log("error")
    await expect(tab.at("ready-state")).to_have_text("CLOSED (3)")
    await tab.click("clear-log")
    await expect(tab.at("event-log")).to_be_empty()

    await tab.at("console-url").fill(demo.url("/nowhere"))
    await tab.at("console-url").press("Enter")
    assert await tab.log("error") == "a browser does not tell a page why"
    assert await tab.log("close") == "code 1006 (no closing handshake), reason none, wasClean false"
    events = await tab.page.locator("#event-log li").evaluate_all(
        "(items) => items.map((i) => i.dataset.event)"
    )
    assert events == ["connecting", "error", "close"]
    await expect(tab.at("ready-state")).to_have_text("CLOSED (3)")

    await tab.at("console-url").fill("gopher://localhost/")
    await tab.click("connect")
    assert (await tab.log("exception")).startswith("SyntaxError:")
    await tab.at("console-url").fill(demo.url("/echo"))
    await tab.click("connect")
    await tab.log("open")
    await tab.at("close-code").fill("1001")
    await tab.click("disconnect")
    await expect(tab.page.locator('#event-log li[data-event="exception"]')).to_have_count(2)
    assert (await tab.log("exception")).startswith("InvalidAccessError:")
    await expect(tab.at("ready-state")).to_have_text("OPEN (1)")


async def test_subprotocol_is_negotiated(
    shipped: dict[str, Any], tmp_path: Path, open_page: Callable[..., Awaitable[Any]]
) -> None:
    """Of the subprotocols that are offered the console shows the one that was chosen."""
    echo = next(route for route in shipped["routes"] if route["path"] == "/echo")
    echo["subprotocols"] = ["v2.example", "v1.example"]
    async with serve(tmp_path, yaml.safe_dump(shipped, allow_unicode=True)) as served:
        tab = await open_page(served.http_url("/"))
        await tab.at("console-subprotocol").fill("v1.example, v2.example")
        await tab.click("connect")
        assert (await tab.log("open")).startswith("subprotocol v2.example,")
