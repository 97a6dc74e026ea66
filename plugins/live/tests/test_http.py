"""The figures and the page over plain HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from gateway_live.messages import FIELDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

ROUTES = """
routes:
  - path: /live
    handlers: [live]
    allow_missing_origin: true
"""
NO_ROUTE_SAMPLES = """
routes:
  - path: /quiet
    handlers: [{name: live, options: {interval_seconds: 3600}}]
"""


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of plain HTTP."""
    async with aiohttp.ClientSession() as session:
        yield session


async def test_figures_are_the_newest_sample(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """A poll gets one sample with every figure, even before the first tick."""
    served = await serve_gateway(ROUTES)
    async with http.get(served.http_url("/live/figures.json")) as response:
        figures = await response.json()
    assert response.status == 200
    assert set(figures) == {"type", *FIELDS}
    assert figures["type"] == "figures"
    assert figures["memory_bytes"] > 0


async def test_figures_are_never_kept(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """No cache on the way may answer a poll."""
    served = await serve_gateway(ROUTES)
    async with http.get(served.http_url("/live/figures.json")) as response:
        assert response.headers["cache-control"] == "no-store"
        assert response.content_type == "application/json"


async def test_poll_and_push_give_the_same(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """What is polled is what was pushed last, byte for byte."""
    served = await serve_gateway(ROUTES)
    async with served.connect("/live") as client:
        await client.recv()
        pushed = await client.recv()
        async with http.get(served.http_url("/live/figures.json")) as response:
            assert await response.text() == pushed


async def test_polls_between_two_samples_get_the_same(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """A poll does not sample by itself where a route does: a thousand pollers cost no thousand samples."""
    served = await serve_gateway(NO_ROUTE_SAMPLES)
    texts = []
    for _ in range(3):
        async with http.get(served.http_url("/live/figures.json")) as response:
            texts.append(await response.text())
    assert len(set(texts)) == 1


async def test_page_is_served_with_its_policy(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """The page comes as HTML, with what keeps foreign scripts and frames away from it."""
    served = await serve_gateway(ROUTES)
    async with http.get(served.http_url("/")) as response:
        assert "<title>" in await response.text()
    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("vendor/uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ("vendor/uplot/LICENSE", "text/plain; charset=utf-8"),
    ],
)
async def test_assets_say_what_they_are(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession, name: str, content_type: str
) -> None:
    """Each asset has the right type, since the browser is told not to guess."""
    served = await serve_gateway(ROUTES)
    async with http.get(served.http_url(f"/live/assets/{name}")) as response:
        assert await response.read()
    assert response.headers["content-type"] == content_type
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_held_asset_is_not_sent_again(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """A browser that has the file is told so; one that has another gets the file."""
    served = await serve_gateway(ROUTES)
    url = served.http_url("/live/assets/main.js")
    async with http.get(url) as response:
        tag = response.headers["etag"]
    async with http.get(url, headers={"if-none-match": f'"other", {tag}'}) as response:
        assert response.status == 304
        assert await response.read() == b""
        assert response.headers["etag"] == tag
    async with http.get(url, headers={"if-none-match": '"other"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..%2fplugin.py", "%2e%2e/plugin.py", "vendor", "vendor/uplot/README.md"],
)
async def test_only_assets_are_served(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession, name: str
) -> None:
    """No other file of the package can be had, nor any outside it."""
    served = await serve_gateway(ROUTES)
    async with http.get(URL(served.http_url(f"/live/assets/{name}"), encoded=True)) as response:
        assert response.status in {400, 404}


async def test_options_move_the_paths(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """The page, the figures and the assets are where gateway.yaml says."""
    served = await serve_gateway(
        ROUTES
        + """
plugins:
  live: {options: {page_path: /see, figures_path: /see.json, assets_path: /see/files}}
"""
    )
    for path, status in {"/see": 200, "/see.json": 200, "/see/files/main.js": 200, "/": 404}.items():
        async with http.get(served.http_url(path)) as response:
            assert response.status == status, path


async def test_page_can_be_left_out(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """Without a page its assets are not served either, and the figures still are."""
    served = await serve_gateway(ROUTES + "plugins: {live: {options: {page_path: null}}}\n")
    for path, status in {"/": 404, "/live/assets/main.js": 404, "/live/figures.json": 200}.items():
        async with http.get(served.http_url(path)) as response:
            assert response.status == status, path


async def test_head_is_answered(
    serve_gateway: Callable[..., Awaitable[Served]], http: aiohttp.ClientSession
) -> None:
    """A monitor that asks for the header alone gets it."""
    served = await serve_gateway(ROUTES)
    for path in ("/", "/live/figures.json", "/live/assets/main.js"):
        async with http.head(served.http_url(path)) as response:
            assert response.status == 200, path
            assert await response.read() == b""
