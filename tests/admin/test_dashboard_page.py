"""The files of the dashboard's pages, apart from any server."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from gateway.admin.assets import Pages, load_assets
from gateway.config.models.access import SCOPES
from gateway.observe.families import FAMILIES
from gateway.protocol.close_codes import CLOSE_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admin.assets import Asset


class Elements(HTMLParser):
    """What a page's HTML holds.

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


@pytest.fixture(scope="module")
def pages() -> dict[str, Elements]:
    """The pages by name."""
    made = Pages()
    texts = {"login": made.login('<"fault">'), "closed": made.closed, "dashboard": made.dashboard}
    assert "&lt;&quot;fault&quot;&gt;" in texts["login"]
    return {name: Elements(text) for name, text in texts.items()}


@pytest.fixture(scope="module")
def assets() -> Mapping[str, Asset]:
    """The assets."""
    return load_assets()


@pytest.fixture(scope="module")
def code(assets: Mapping[str, Asset]) -> str:
    """All modules, one after the other."""
    return "".join(asset.body.decode() for name, asset in sorted(assets.items()) if name.endswith(".js"))


def test_nothing_is_inline(pages: Mapping[str, Elements]) -> None:
    """The policy forbids inline scripts, styles and handlers, so the pages have none."""
    for page in pages.values():
        for tag, attributes in page.found:
            assert tag != "style"
            assert tag != "script" or attributes["src"]
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]


def test_pages_ask_only_for_assets_that_are_there(
    pages: Mapping[str, Elements], assets: Mapping[str, Asset]
) -> None:
    """Each script, style and image is an asset of the package."""
    for page in pages.values():
        asked = {
            attributes.get("src") or attributes["href"]
            for tag, attributes in page.found
            if tag in {"script", "link", "img"}
        }
        assert len(asked) > 2
        assert {name.removeprefix("/admin/assets/") for name in asked} <= set(assets)


def test_modules_import_only_modules_that_are_there(assets: Mapping[str, Asset], code: str) -> None:
    """Each import names a file beside it, and each module is imported or asked for."""
    imported = {name.removeprefix("./") for name in re.findall(r'from "(.+?)"', code)}
    assert imported | {"main.js"} == {name for name in assets if name.endswith(".js")}


def test_scripts_find_their_elements(pages: Mapping[str, Elements], code: str) -> None:
    """Each id that a module asks for stands on the page, and none twice; each field has a label."""
    found = pages["dashboard"].found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'byId\("([a-z-]+)"\)', code))
    assert len(asked) > 25
    assert asked <= set(ids)
    for tag, attributes in found:
        if tag == "label" and "for" in attributes:
            assert attributes["for"] in ids
        if tag in {"input", "select", "textarea"} and attributes.get("type") != "radio":
            assert ("label", {"for": attributes["id"]}) in [(t, {"for": a.get("for")}) for t, a in found]


def test_figures_and_scopes_are_the_gateways_own(code: str) -> None:
    """The page asks for no figure, and for no scope, that there is not."""
    families = set(re.findall(r"\bgateway_[a-z_]+", code))
    families |= {f"gateway_{name}" for name in re.findall(r'\bof\("([a-z_]+)"\)', code)}
    assert len(families) > 25
    assert families <= set(FAMILIES)
    assert set(re.findall(r'scopes\.includes\("([a-z]+)"\)', code)) <= set(SCOPES)


def test_close_codes_have_the_names_of_the_gateway(assets: Mapping[str, Asset]) -> None:
    """Each close code that the gateway sends has its own name."""
    names = dict(re.findall(r'\["(\d+)", "(.+?)"\]', assets["close-codes.js"].body.decode()))
    assert {str(row.code): row.name for row in CLOSE_CODES.values()}.items() <= names.items()


def test_nothing_comes_from_elsewhere(assets: Mapping[str, Asset], pages: Mapping[str, Elements]) -> None:
    """No file names another host, or makes HTML of a text."""
    for name, asset in assets.items():
        hosts = set(re.findall(rb"(?:https?|wss?)://[\w.]+", asset.body)) - {b"http://www.w3.org"}
        assert not hosts, name
        assert b"innerHTML" not in asset.body
        assert b"insertAdjacentHTML" not in asset.body
    for page in pages.values():
        assert not [attributes for _, attributes in page.found if "//" in attributes.get("href", "")]
