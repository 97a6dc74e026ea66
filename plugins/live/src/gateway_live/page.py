"""The page and its assets, read once from the package, with the header fields that they are served with."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from gateway_live.options import PageOptions

__all__ = ["HTML", "Asset", "content_security_policy", "load_assets", "load_template", "render_page"]

CONTENT_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}
"""By the end of the file's name. A file of another kind, such as a template, is not served."""

HTML: Final = "text/html; charset=utf-8"

TEMPLATE: Final = "index.html"
NOTES_CARD: Final = "notes-card.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served.

    Args:
        body: Its bytes.
        content_type: With the charset, for text.
    """

    body: bytes
    content_type: str

    @property
    def etag(self) -> str:
        """A strong entity tag, made from the bytes (RFC 9110 section 8.8.3)."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


def load_assets() -> dict[str, Asset]:
    """Read every asset of the page: from its path below the assets' folder to its bytes."""
    return dict(_walk(files("gateway_live") / "page", ""))


def render_page(options: PageOptions) -> Asset:
    """Make the page for these options: the paths are all that it is told."""
    card = ""
    if options.notes_path is not None:
        card = load_template(NOTES_CARD).substitute(notes_path=html.escape(options.notes_path))
    text = load_template(TEMPLATE).substitute(
        assets=html.escape(options.assets_path.rstrip("/")),
        page_path=html.escape(options.page_path or "/"),
        socket_path=html.escape(options.socket_path),
        figures_path=html.escape(options.figures_path),
        console_path=html.escape(options.console_path),
        notes_card=card,
    )
    return Asset(text.encode(), HTML)


def load_template(name: str) -> Template:
    """Read a template of the package."""
    return Template((files("gateway_live") / "page" / name).read_text("utf-8"))


def content_security_policy(options: PageOptions) -> str:
    """Write the policy of the page: its own origin only, no inline script or style, no frame around it."""
    reachable = " ".join(("'self'", *options.console_sources))
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src {reachable}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
            continue
        content_type = CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            yield path, Asset(entry.read_bytes(), content_type)
