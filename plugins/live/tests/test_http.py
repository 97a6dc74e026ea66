"""The figures and the page over plain HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway_live.messages import FIELDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served, TestClock

    Serve = Callable[..., Awaitable[Served]]

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


async def test_figures_are_the_newest_sample(serve_gateway: Serve) -> None:
    """A poll gets one sample with every figure, even before the first tick."""
    served = await serve_gateway(ROUTES)
    response = await served.request("GET", "/live/figures.json")
    figures = response.json()
    assert response.status_code == 200
    assert set(figures) == {"type", *FIELDS}
    assert figures["type"] == "figures"
    assert figures["memory_bytes"] > 0


async def test_figures_are_never_kept(serve_gateway: Serve) -> None:
    """No cache on the way may answer a poll."""
    served = await serve_gateway(ROUTES)
    response = await served.request("GET", "/live/figures.json")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"


async def test_poll_and_push_give_the_same(serve_gateway: Serve, gateway_clock: TestClock) -> None:
    """What is polled is what was pushed last, byte for byte."""
    served = await serve_gateway(ROUTES)
    async with served.client("/live") as client:
        await client.receive()
        await gateway_clock.turn(1)
        pushed = await client.receive()
        response = await served.request("GET", "/live/figures.json")
        assert response.text == pushed


async def test_polls_between_two_samples_get_the_same(serve_gateway: Serve) -> None:
    """A poll does not sample by itself where a route does: a thousand pollers cost no thousand samples."""
    served = await serve_gateway(NO_ROUTE_SAMPLES)
    texts = []
    for _ in range(3):
        response = await served.request("GET", "/live/figures.json")
        texts.append(response.text)
    assert len(set(texts)) == 1


async def test_page_is_served_with_its_policy(serve_gateway: Serve) -> None:
    """The page comes as HTML, with what keeps foreign scripts and frames away from it."""
    served = await serve_gateway(ROUTES)
    response = await served.request("GET", "/")
    assert "<title>" in response.text
    assert response.status_code == 200
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
async def test_assets_say_what_they_are(serve_gateway: Serve, name: str, content_type: str) -> None:
    """Each asset has the right type, since the browser is told not to guess."""
    served = await serve_gateway(ROUTES)
    response = await served.request("GET", f"/live/assets/{name}")
    assert response.content
    assert response.headers["content-type"] == content_type
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_held_asset_is_not_sent_again(serve_gateway: Serve) -> None:
    """A browser that has the file is told so; one that has another gets the file."""
    served = await serve_gateway(ROUTES)
    path = "/live/assets/main.js"
    response = await served.request("GET", path)
    tag = response.headers["etag"]
    response = await served.request("GET", path, headers={"if-none-match": f'"other", {tag}'})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == tag
    response = await served.request("GET", path, headers={"if-none-match": '"other"'})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..%2fplugin.py", "%2e%2e/plugin.py", "vendor", "vendor/uplot/README.md"],
)
async def test_only_assets_are_served(serve_gateway: Serve, name: str) -> None:
    """No other file of the package can be had, nor any outside it."""
    served = await serve_gateway(ROUTES)
    response = await served.request("GET", f"/live/assets/{name}")
    assert response.status_code in {400, 404}


async def test_options_move_the_paths(serve_gateway: Serve) -> None:
    """The page, the figures and the assets are where gateway.yaml says."""
    served = await serve_gateway(
        ROUTES
        + """
plugins:
  live: {options: {page_path: /see, figures_path: /see.json, assets_path: /see/files}}
"""
    )
    for path, status in {"/see": 200, "/see.json": 200, "/see/files/main.js": 200, "/": 404}.items():
        response = await served.request("GET", path)
        assert response.status_code == status, path


async def test_page_can_be_left_out(serve_gateway: Serve) -> None:
    """Without a page its assets are not served either, and the figures still are."""
    served = await serve_gateway(ROUTES + "plugins: {live: {options: {page_path: null}}}\n")
    for path, status in {"/": 404, "/live/assets/main.js": 404, "/live/figures.json": 200}.items():
        response = await served.request("GET", path)
        assert response.status_code == status, path


async def test_head_is_answered(serve_gateway: Serve) -> None:
    """A monitor that asks for the header alone gets it."""
    served = await serve_gateway(ROUTES)
    for path in ("/", "/live/figures.json", "/live/assets/main.js"):
        response = await served.request("HEAD", path)
        assert response.status_code == 200, path
        assert response.content == b""
