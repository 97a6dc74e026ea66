"""The dashboard's pages and their assets, read once from the package, with the header fields they go with."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HARDENING", "PAGE_FIELDS", "Asset", "Pages", "load_assets"]

_CONTENT_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""By the end of the file's name. A file of another kind, such as a template, is no asset."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

HARDENING: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: with that a form's Origin is `null`, and nobody could log in.
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

PAGE_FIELDS: Final[Mapping[str, str]] = {
    **HARDENING,
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "vary": "cookie",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served.

    Args:
        body: Its bytes.
        content_type: With the charset, for text.
        etag: A strong entity tag, made from the bytes (RFC 9110 section 8.8.3).
    """

    body: bytes
    content_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """Read every asset: from its name to its bytes."""
    found = {}
    for entry in (files("gateway.admin") / "page").iterdir():
        content_type = _CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            body = entry.read_bytes()
            found[entry.name] = Asset(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return found


class Pages:
    """The pages: the one to log in at, the same where nobody can, and the dashboard."""

    def __init__(self) -> None:
        self._login = Template(_read("login.html"))
        self.closed = _read("closed.html")
        self.dashboard = _read("dashboard.html")

    def login(self, fault: str = "") -> str:
        """Give the page to log in at.

        Args:
            fault: What was wrong with the last try. Default: there was none.
        """
        return self._login.substitute(
            fault=html.escape(fault), invalid=' aria-invalid="true"' if fault else ""
        )


def _read(name: str) -> str:
    return (files("gateway.admin") / "page" / name).read_text("utf-8")
