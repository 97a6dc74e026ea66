"""The page over https and wss, with a certificate made for the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import trustme
import yaml
from playwright.async_api import expect

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def secure(shipped: dict[str, Any], tmp_path: Path) -> AsyncIterator[Served]:
    """The shipped demonstration with a certificate."""
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for index, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(tmp_path / "chain.pem", append=index > 0)
    shipped["listen"]["tls"] = {
        "certificate": str(tmp_path / "chain.pem"),
        "key": str(tmp_path / "key.pem"),
    }
    async with serve(tmp_path, yaml.safe_dump(shipped, allow_unicode=True)) as served:
        yield served


async def test_page_works_over_tls(secure: Served, open_page: Callable[..., Awaitable[Any]]) -> None:
    """Over https the page speaks wss: charts move, the console talks, and a push to its id arrives."""
    assert secure.http_url("/").startswith("https:")
    tab = await open_page(secure.http_url("/"))
    await tab.grow_line("push-chart", 4)
    await tab.reach("poll-points", 2)
    await expect(tab.at("console-url")).to_have_value(f"wss://localhost:{secure.port}/echo")
    await tab.click("connect")
    await tab.log("open")
    await tab.click("send")
    assert (await tab.log("message")).endswith("接收到客户端的消息:Hello, gateway")
    await tab.click("disconnect")
    assert (await tab.log("close")).startswith("code 1000")
    await tab.at("push-target").fill(await tab.at("consumer-id").input_value())
    await tab.click("push-one")
    await expect(tab.at("received").locator(".received-text")).to_have_text("Hello from another tab")
    assert tab.complaints == []
    assert len(secure.node.connections()) == 1
