"""The page's files, apart from any server."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from gateway_live import PageOptions
from gateway_live.page import content_security_policy, load_assets, load_template, render_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_live.page import Asset

# What tests in a browser, and programs that read the page, rely on.
PROMISED_IDS = {
    "push-chart", "poll-chart", "push-requests", "push-bytes", "poll-requests", "poll-bytes", "push-points",
    "poll-points", "ready-state", "buffered-amount", "event-log", "console-url", "connect", "disconnect",
    "message", "send", "close-code", "consumer-id", "push-text", "push-all", "push-one", "push-target",
    "received",
}  # fmt: skip


class Elements(HTMLParser):
    """What the page's HTML holds.

    Args:
        text: The HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each element."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def ids(self) -> list[str]:
        """Every id, in the order of the page."""
        return [attributes["id"] for _, attributes in self.found if "id" in attributes]


@pytest.fixture
def page() -> Elements:
    """The page with default options, but for a page of notes."""
    return Elements(render_page(PageOptions(notes_path="/live/notes")).body.decode())


@pytest.fixture
def notes() -> Elements:
    """The page of notes, as it ships."""
    return Elements(load_template("notes.html").template.replace("$assets", "/live/assets"))


@pytest.fixture(params=["page", "notes"])
def either(request: pytest.FixtureRequest, page: Elements, notes: Elements) -> Elements:
    """Each of the pages."""
    return page if request.param == "page" else notes


@pytest.fixture
def assets() -> Mapping[str, Asset]:
    """The page's assets."""
    return load_assets()


def test_page_has_the_promised_ids(page: Elements) -> None:
    """No id is missing, and none stands twice."""
    assert set(page.ids) >= PROMISED_IDS
    assert len(page.ids) == len(set(page.ids))


def test_scripts_find_their_elements(page: Elements, notes: Elements, assets: Mapping[str, Asset]) -> None:
    """Each id that a module asks for by its full name is on one of the pages."""
    code = "".join(
        asset.body.decode() for name, asset in assets.items() if name.endswith(".js") and "/" not in name
    )
    asked = set(re.findall(r'byId\("([a-z-]+)"\)', code))
    assert len(asked) > 15
    assert asked <= {*page.ids, *notes.ids}


def test_nothing_is_inline(either: Elements) -> None:
    """The policy forbids inline scripts, styles and handlers, so no page has any."""
    for tag, attributes in either.found:
        assert tag != "style"
        assert tag != "script" or attributes["src"]
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]


def test_every_field_has_a_label(either: Elements) -> None:
    """A screen reader names each field by its label; radios and boxes are wrapped in theirs."""
    labelled = {attributes.get("for") for tag, attributes in either.found if tag == "label"}
    fields = [attributes for tag, attributes in either.found if tag in {"input", "select"}]
    assert all(field["id"] in labelled for field in fields if field.get("type") not in {"radio", "checkbox"})


def test_page_asks_only_for_assets_that_are_there(either: Elements, assets: Mapping[str, Asset]) -> None:
    """Each script, style and image of a page is an asset of the package."""
    prefix = "/live/assets/"
    asked = [
        attributes.get("src") or attributes["href"]
        for tag, attributes in either.found
        if tag in {"script", "link", "img"}
    ]
    assert len(asked) > 4
    assert {name.removeprefix(prefix) for name in asked} <= set(assets)


def test_modules_import_only_modules_that_are_there(assets: Mapping[str, Asset]) -> None:
    """Each import names a file beside it."""
    for name, asset in assets.items():
        for imported in re.findall(r'from "(.+?)"', asset.body.decode()) if name.endswith(".js") else ():
            assert imported.removeprefix("./") in assets, f"{name} imports {imported}"


def test_nothing_comes_from_elsewhere(assets: Mapping[str, Asset]) -> None:
    """No file of our own names another host."""
    for name, asset in assets.items():
        if not name.startswith("vendor/"):
            hosts = set(re.findall(rb"(?:https?|wss?)://[\w.]+", asset.body)) - {b"http://www.w3.org"}
            assert not hosts, name


def test_chart_library_comes_with_its_licence(assets: Mapping[str, Asset]) -> None:
    """What is vendored keeps its version and its licence."""
    assert b"uPlot (v1.6.32)" in assets["vendor/uplot/uPlot.iife.min.js"].body[:200]
    assert b"MIT" in assets["vendor/uplot/LICENSE"].body


def test_template_and_notes_are_no_assets(assets: Mapping[str, Asset]) -> None:
    """Only files of known kinds are served, and the template only as the page."""
    assert not [name for name in assets if name.endswith((".html", ".md", ".py"))]


def test_paths_reach_the_page() -> None:
    """The options' paths are where the page looks."""
    options = PageOptions(
        page_path="/here", figures_path="/f.json", assets_path="/a/", socket_path="/s", console_path="/c"
    )
    elements = Elements(render_page(options).body.decode()).found
    body = next(attributes for tag, attributes in elements if tag == "body")
    assert body == {"data-socket-path": "/s", "data-figures-path": "/f.json", "data-console-path": "/c"}
    assert ("script", {"src": "/a/main.js", "type": "module"}) in elements


def test_card_leads_to_the_notes() -> None:
    """Where there is a page of notes, the page links to it; elsewhere it says nothing of it."""
    link = ("a", {"class": "button", "href": "/there"})
    assert link in Elements(render_page(PageOptions(notes_path="/there")).body.decode()).found
    assert b"notes" not in render_page(PageOptions()).body


def test_policy_allows_named_sources_only() -> None:
    """The page reaches its own origin and what the options name."""
    policy = content_security_policy(PageOptions(console_sources=("wss://gateway.example.com",)))
    assert "connect-src 'self' wss://gateway.example.com;" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
