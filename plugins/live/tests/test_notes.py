"""The handler `notes` over real connections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway_live.notes import LONGEST_SHOWN, read_note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served

    Serve = Callable[..., Awaitable[Served]]

ROUTES = """
routes:
  - path: /notes
    handlers: [{name: notes, options: {max_text_bytes: 20}}]
    allow_missing_origin: true
    groups: [notes]
    envelope: json
groups:
  - {pattern: notes, history: {size: 5, seconds: 60}}
"""


async def said(client: Client) -> Any:
    """Receive what the handler says to this client alone."""
    envelope = await client.receive_json()
    assert set(envelope) == {"data"}
    return json.loads(envelope["data"])


async def write(client: Client, **note: object) -> None:
    """Send a note."""
    await client.send_json({"type": "note", **note})


async def test_note_is_published_and_has_its_place(serve_gateway: Serve) -> None:
    """A note comes to all with who wrote it and when, and its writer learns its offset."""
    served = await serve_gateway(ROUTES)
    async with served.client() as one, served.client() as other:
        for client in (one, other):
            await client.receive()
            assert (await said(client))["type"] == "open"
        await write(one, text="你好", **{"from": "desk"})
        envelope = await other.receive_json()
        note = json.loads(envelope["data"])
        assert {"type": "note", "text": "你好", "from": "desk"}.items() <= note.items()
        assert note["at"] == pytest.approx(served.node.now(), abs=60)
        got = [await one.receive_json() for _ in range(2)]
        told = next(json.loads(one["data"]) for one in got if "group" not in one)
        assert told == {"type": "noted", "offset": envelope["offset"]}


async def test_open_stands_between_missed_and_live(serve_gateway: Serve) -> None:
    """Who comes back gets what was missed, then the handler's mark, then what is new."""
    served = await serve_gateway(ROUTES)
    token = await served.node.resume_token("notes")
    served.node.publish("notes", "missed")
    async with served.client(f"/notes?resume={token}") as client:
        assert (await client.receive_json())["recovered"] is True
        assert (await client.receive_json())["data"] == "missed"
        (connection,) = served.node.connections()
        assert await said(client) == {"type": "open", "connection": connection.id}
        served.node.publish("notes", "live")
        assert (await client.receive_json())["data"] == "live"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("hello", "not JSON"),
        (b"\x00", "a binary message, expected JSON as text"),
        ("[]", "unknown type, expected note"),
        ('{"type": "push", "text": "x"}', "unknown type, expected note"),
        ('{"type": "note"}', "text: missing"),
        ('{"type": "note", "text": 7}', "text: not valid"),
        ('{"type": "note", "text": " \\n "}', "text: not valid"),
        ('{"type": "note", "text": "x", "from": "a b"}', "from: not valid"),
        (json.dumps({"type": "note", "text": "é" * 11}), "text too long: 22 bytes, limit 20"),
    ],
)
async def test_what_is_no_note_is_refused(serve_gateway: Serve, message: str | bytes, error: str) -> None:
    """The answer says what is wrong without a word of the input, and nothing is published."""
    served = await serve_gateway(ROUTES)
    async with served.client() as client:
        await client.receive()
        await said(client)
        await client.send(message)
        assert await said(client) == {"type": "error", "error": error}
    assert len(served.published) == 0


async def test_broker_that_is_down_is_told(serve_gateway: Serve) -> None:
    """A note that may not be published is not called published."""
    served = await serve_gateway(ROUTES)
    async with served.client() as client:
        await client.receive()
        await said(client)
        with served.broker_outage():
            await write(client, text="x")
            assert "broker" in (await said(client))["error"]
        await client.receive()  # the gap that was told when it was back


async def test_without_history_a_note_has_no_place(serve_gateway: Serve) -> None:
    """It is published all the same."""
    served = await serve_gateway(ROUTES.partition("groups:\n")[0])
    async with served.client() as client:
        await said(client)
        await write(client, text="x")
        got = [await client.receive_json() for _ in range(2)]
    assert [one["group"] for one in got if "group" in one] == ["notes"]
    assert {"data": '{"type":"noted","offset":null}'} in got


async def test_nasty_conversations(check_handler: Callable[..., Awaitable[None]]) -> None:
    """Nothing that clients do makes the handler fail."""
    note = {"type": "note", "from": "desk", "text": "x"}
    await check_handler(ROUTES, messages=[json.dumps(note)])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('{"type":"note","from":"desk","text":"x","at":7.5}', ("x", "desk", 7.5)),
        ('{"type":"note","text":"x"}', ("x", None, None)),
        ("plain", ("plain", None, None)),
        ('{"news": true}', ('{"news": true}', None, None)),
        ('{"type":"note","text":"x","at":1e99}', ('{"type":"note","text":"x","at":1e99}', None, None)),
        (b"\x00\x01", ("(binary, 2 bytes)", None, None)),
        ("x" * 5000, ("x" * LONGEST_SHOWN + "…", None, None)),
    ],
)
def test_whatever_was_published_can_be_shown(message: str | bytes, shown: tuple[object, ...]) -> None:
    """The HTTP API may publish anything to the group."""
    assert read_note(message) == shown
