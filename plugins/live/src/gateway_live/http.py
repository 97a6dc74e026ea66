"""Plain HTTP: the newest figures for clients that poll, and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from gateway_live import messages
from gateway_live.page import content_security_policy, load_assets, render_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sanic import Request

    from gateway_live.figures import Figures
    from gateway_live.options import PageOptions
    from gateway_live.page import Asset

__all__ = ["make_blueprint"]

READING: Final = ("GET", "HEAD")

HARDENING: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def make_blueprint(options: PageOptions, figures: Figures) -> Blueprint:
    """Make the blueprint: the figures always, the page and its assets unless `page_path` is `None`."""
    blueprint = Blueprint("gateway_live")

    async def newest(_: Request) -> HTTPResponse:
        return HTTPResponse(
            messages.figures(figures.newest()),
            headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
            content_type="application/json",
        )

    blueprint.add_route(newest, options.figures_path, methods=READING, name="figures")
    if options.page_path is not None:
        _add_page(blueprint, options, options.page_path)
    return blueprint


def _add_page(blueprint: Blueprint, options: PageOptions, page_path: str) -> None:
    assets = load_assets()
    page = render_page(options)
    page_headers = {
        "content-security-policy": content_security_policy(options),
        "cross-origin-opener-policy": "same-origin",
    }

    async def show_page(request: Request) -> HTTPResponse:
        return _answer(request, page, page_headers)

    async def show_asset(request: Request, name: str) -> HTTPResponse:
        asset = assets.get(name)
        if asset is None:
            raise NotFound("no such asset")
        return _answer(request, asset, {})

    blueprint.add_route(show_page, page_path, methods=READING, name="page")
    below = f"{options.assets_path.rstrip('/')}/<name:path>"
    blueprint.add_route(show_asset, below, methods=READING, name="asset")


def _answer(request: Request, asset: Asset, headers: Mapping[str, str]) -> HTTPResponse:
    """Answer with a file, or with 304 if the client has it (RFC 9110 section 13.1.2)."""
    headers = {
        **HARDENING,
        **headers,
        "etag": asset.etag,
        # Kept, but asked about each time: the modules of one page must be of one version.
        "cache-control": "no-cache",
    }
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if asset.etag in held or "*" in held:
        return HTTPResponse(status=304, headers=headers)
    return HTTPResponse(asset.body, headers=headers, content_type=asset.content_type)
