"""The page of notes, rendered anew for each request, with the position that it was rendered at."""

from __future__ import annotations

import asyncio
import html
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway import BrokerUnavailableError
from gateway_live.notes import read_note
from gateway_live.page import load_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway import History, Node, Publication
    from gateway_live.options import PageOptions

__all__ = ["NotesPage"]

TEMPLATE: Final = "notes.html"

SHOWN: Final = 100
"""Most notes in a page, the newest ones."""

READ_SECONDS: Final = 2.0
"""How long a visitor waits for the broker; then the page comes without notes."""

TROUBLES: Final[Mapping[str, str]] = {
    "unavailable": "The broker does not answer, so this page was rendered without notes and its position. "
    "What is published before it connects is not shown here. Load it again when the broker is back.",
    "no_history": "gateway.yaml gives the group of this page no history, so it has no notes to begin with, "
    "and cannot recover any. They arrive live only.",
}


class Rendered(NamedTuple):
    """What a page begins with.

    Args:
        token: Its position, signed; `None` if there is none.
        history: The newest notes; `None` if they cannot be had.
        trouble: Why not, a key of `TROUBLES`; empty if all is well.
    """

    token: str | None = None
    history: History | None = None
    trouble: str = ""


class NotesPage:
    """The page of notes.

    Args:
        options: The paths, and the group that it shows.
        node: Where the group is.
    """

    def __init__(self, options: PageOptions, node: Node) -> None:
        self._node = node
        self._group = options.notes_group
        self._template = load_template(TEMPLATE)
        home = options.page_path
        self._paths = {
            "assets": html.escape(options.assets_path.rstrip("/")),
            "notes_path": html.escape(options.notes_path or ""),
            "socket_path": html.escape(options.notes_socket_path),
            "group": html.escape(self._group),
            "home": f'<a href="{html.escape(home)}">Push beside polling</a>' if home is not None else "",
        }

    async def render(self) -> bytes:
        """Make the page as of now."""
        rendered = await self._read()
        history = rendered.history
        publications = history.publications if history is not None else ()
        return self._template.substitute(
            self._paths,
            resume=rendered.token or "",  # a token needs no escape
            offset="" if history is None else history.newest.offset,
            epoch="" if history is None else html.escape(history.newest.epoch),
            rendered_at=_clock(self._node.now()),
            count=len(publications),
            trouble=rendered.trouble,
            trouble_hidden="" if rendered.trouble else "hidden",
            trouble_text=html.escape(TROUBLES.get(rendered.trouble, "")),
            notes="\n".join(map(_item, reversed(publications))),
        ).encode()

    async def _read(self) -> Rendered:
        try:
            async with asyncio.timeout(READ_SECONDS):
                # The position first: what is published between the two is in the list and comes again, which
                # its offset tells. The other way round it would be in neither.
                token = await self._node.resume_token(self._group)
                return Rendered(token, await self._node.history(self._group, limit=SHOWN))
        except (BrokerUnavailableError, TimeoutError):
            return Rendered(trouble="unavailable")
        except ValueError:
            return Rendered(trouble="no_history")


def _item(publication: Publication) -> str:
    note = read_note(publication.message)
    place, epoch = publication.offset, html.escape(publication.epoch)
    head = (
        f"<strong>{html.escape(note.sender or 'someone')}</strong>",
        '<span class="badge">rendered</span>',
        f'<span class="place">#{place}</span>',
        "" if note.at is None else _clock(note.at),
    )
    return (
        f'<li data-offset="{place}" data-epoch="{epoch}" data-how="rendered">'
        f'<p class="received-head">{"".join(head)}</p>'
        f'<p class="received-text">{html.escape(note.text)}</p></li>'
    )


def _clock(seconds: float) -> str:
    """Write a moment, in UTC; the page's script puts it into the visitor's own time."""
    moment = time.gmtime(seconds)
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    return f'<time datetime="{written}">{time.strftime("%H:%M:%S", moment)} UTC</time>'
