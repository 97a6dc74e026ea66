"""The page of notes, as the server renders it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway_live import notes_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Serve = Callable[..., Awaitable[Served]]

CONFIGURATION = """
routes:
  - path: /live/notes/ws
    handlers: [notes]
    allow_missing_origin: true
    groups: [notes]
    envelope: json
groups:
  - {pattern: notes, history: {size: 5, seconds: 60}}
plugins:
  live: {options: {notes_path: /notes}}
"""


@pytest.fixture
async def served(serve_gateway: Serve) -> Served:
    """A gateway with the page and its route."""
    return await serve_gateway(CONFIGURATION)


async def get(served: Served) -> str:
    """Have the page rendered."""
    response = await served.request("GET", "/notes")
    assert response.status_code == 200
    return response.text


def held(page: str, name: str) -> str:
    """Give what the page's body says."""
    found = re.search(rf'<body [^>]*data-{name}="([^"]*)"', page)
    assert found is not None
    return found[1]


def texts(page: str) -> list[str]:
    """Give the notes of the page."""
    return re.findall(r'<p class="received-text">(.*?)</p>', page)


async def missed(served: Served, page: str) -> list[Any]:
    """Connect as the page does; give what comes before the handler's mark."""
    got = []
    async with served.client(f"/live/notes/ws?resume={held(page, 'resume')}") as client:
        while '"open"' not in (envelope := await client.receive_json()).get("data", ""):
            got.append(envelope)
    return got


async def test_page_and_its_connection_are_whole(served: Served) -> None:
    """What was published before the rendering is in the page, and what came after comes when it connects."""
    for text in ("one", "two"):
        served.node.publish("notes", text)
    page = await get(served)
    for text in ("three", "four"):
        served.node.publish("notes", text)
    assert texts(page) == ["two", "one"]
    first, *rest = await missed(served, page)
    assert first["recovered"] is True
    assert [one["data"] for one in rest] == ["three", "four"]
    assert rest[0]["previous"] == int(held(page, "offset"))
    assert rest[0]["epoch"] == held(page, "epoch")


async def test_nothing_falls_between_position_and_list(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published while the page is rendered is in the list, and comes again with the same offset."""
    history = served.broker.history

    async def publish_between(group: str, since: int | None, limit: int) -> Any:
        if limit:
            served.node.publish("notes", "in between")
        return await history(group, since, limit)

    monkeypatch.setattr(served.broker, "history", publish_between)
    page = await get(served)
    monkeypatch.undo()
    assert texts(page) == ["in between"]
    _, again = await missed(served, page)
    assert f'data-offset="{again["offset"]}" data-epoch="{again["epoch"]}"' in page


async def test_page_is_never_kept(served: Served) -> None:
    """Each request has it rendered anew, under the policy of the other page."""
    response = await served.request("GET", "/notes")
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers
    assert "script-src 'self';" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    again = await served.request("HEAD", "/notes")
    assert (again.status_code, again.content) == (200, b"")


async def test_notes_are_no_markup(served: Served) -> None:
    """Whatever a note says is shown as text."""
    served.node.publish("notes", "<script>alert('$assets')</script>")
    page = await get(served)
    assert texts(page) == ["&lt;script&gt;alert(&#x27;$assets&#x27;)&lt;/script&gt;"]


async def test_broker_that_is_down_is_told(served: Served) -> None:
    """The page comes, says what it lacks, and has no position."""
    assert 'data-trouble="" role="status" hidden' in await get(served)
    served.node.publish("notes", "one")
    with served.broker_outage():
        page = await get(served)
    assert 'data-trouble="unavailable" role="status" >The broker does not answer' in page
    assert (held(page, "resume"), texts(page)) == ("", [])


async def test_broker_that_hangs_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor gets the page without the notes in the end."""

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(notes_page, "READ_SECONDS", 0.05)
    monkeypatch.setattr(served.broker, "history", hang)
    assert 'data-trouble="unavailable"' in await get(served)


async def test_group_without_history_is_told(serve_gateway: Serve) -> None:
    """The page says what gateway.yaml lacks."""
    served = await serve_gateway(CONFIGURATION.replace("pattern: notes", "pattern: other"))
    page = await get(served)
    assert "gateway.yaml gives the group of this page no history" in page
    assert held(page, "resume") == ""


async def test_page_is_off_unless_said(serve_gateway: Serve) -> None:
    """Without a path nobody sees what is in the group, and with it alone the page has its assets."""
    off = await serve_gateway(CONFIGURATION.partition("plugins:")[0])
    assert (await off.request("GET", "/live/notes")).status_code == 404
    alone = await serve_gateway(CONFIGURATION.replace("{notes_path", "{page_path: null, notes_path"))
    for path, status in {"/": 404, "/notes": 200, "/live/assets/notes.js": 200}.items():
        assert (await alone.request("GET", path)).status_code == status, path
