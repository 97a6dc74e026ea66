"""Plain HTTP: the newest figures for clients that poll, and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import NotFound

from gateway_live import messages
from gateway_live.figures import Figures
from gateway_live.notes_page import NotesPage
from gateway_live.page import HTML, content_security_policy, load_assets, render_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sanic import Request

    from gateway import Node
    from gateway_live.options import PageOptions
    from gateway_live.page import Asset

__all__ = ["make_blueprint"]

READING: Final = ("GET", "HEAD")

HARDENING: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def make_blueprint(options: PageOptions, node: Node) -> Blueprint:
    """Make the blueprint: the figures always, the pages that have a path, and their assets."""
    blueprint = Blueprint("gateway_live")
    figures = Figures.of(node)

    async def newest(_: Request) -> HTTPResponse:
        return HTTPResponse(
            messages.figures(figures.newest()),
            headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
            content_type="application/json",
        )

    blueprint.add_route(newest, options.figures_path, methods=READING, name="figures")
    if options.page_path is not None:
        _add_page(blueprint, options, options.page_path)
    if options.notes_path is not None:
        _add_notes(blueprint, options, options.notes_path, NotesPage(options, node))
    if options.page_path is not None or options.notes_path is not None:
        _add_assets(blueprint, options)
    return blueprint


def _add_page(blueprint: Blueprint, options: PageOptions, page_path: str) -> None:
    page = render_page(options)
    headers = _page_headers(options)

    async def show_page(request: Request) -> HTTPResponse:
        return _answer(request, page, headers)

    blueprint.add_route(show_page, page_path, methods=READING, name="page")


def _add_notes(blueprint: Blueprint, options: PageOptions, notes_path: str, page: NotesPage) -> None:
    # The position that is in it is of this moment, and has an end: no cache may keep it.
    headers = {**HARDENING, **_page_headers(options), "cache-control": "no-store"}

    async def show_notes(_: Request) -> HTTPResponse:
        return HTTPResponse(await page.render(), headers=headers, content_type=HTML)

    blueprint.add_route(show_notes, notes_path, methods=READING, name="notes")


def _add_assets(blueprint: Blueprint, options: PageOptions) -> None:
    assets = load_assets()

    async def show_asset(request: Request, name: str) -> HTTPResponse:
        asset = assets.get(name)
        if asset is None:
            raise NotFound("no such asset")
        return _answer(request, asset, {})

    below = f"{options.assets_path.rstrip('/')}/<name:path>"
    blueprint.add_route(show_asset, below, methods=READING, name="asset")


def _page_headers(options: PageOptions) -> Mapping[str, str]:
    return {
        "content-security-policy": content_security_policy(options),
        "cross-origin-opener-policy": "same-origin",
    }


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
