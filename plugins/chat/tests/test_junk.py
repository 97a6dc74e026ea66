"""Messages that are none of those a client may send."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Client

    Enter = Callable[..., Awaitable[Any]]

YAML = """
groups: [{pattern: "room:*", presence: true}]
routes:
  - path: /chat/{room}
    allow_missing_origin: true
    handlers: [chat]
"""

UNKNOWN = "unknown type, expected name, say, whisper or who"

JUNK = {
    "empty": ("", "not JSON"),
    "half": ('{"type": "say"', "not JSON"),
    "plain text": ("SECRET", "not JSON"),
    "null character": ("\0", "not JSON"),
    "binary": (b'{"type": "who"}', "a binary message, expected JSON as text"),
    "binary that is no UTF-8": (b"\xff\xfe", "a binary message, expected JSON as text"),
    "empty binary": (b"", "a binary message, expected JSON as text"),
    "number": ("1", "not an object"),
    "null": ("null", "not an object"),
    "list": ('["say"]', "not an object"),
    "text": ('"SECRET"', "not an object"),
    "no type": ("{}", "no type, expected name, say, whisper or who"),
    "unknown type": ('{"type": "SECRET"}', UNKNOWN),
    "type is a number": ('{"type": 1}', UNKNOWN),
    "type is nothing": ('{"type": null}', UNKNOWN),
    "type is a list": ('{"type": ["say"]}', UNKNOWN),
    "type is an object": ('{"type": {"say": 1}}', UNKNOWN),
    "one of the gateway's types": ('{"type": "welcome"}', UNKNOWN),
    "say without text": ('{"type": "say"}', "text: missing"),
    "say nothing": ('{"type": "say", "text": ""}', "text: empty"),
    "say null": ('{"type": "say", "text": null}', "text: not a text"),
    "say a number": ('{"type": "say", "text": 7}', "text: not a text"),
    "say a list": ('{"type": "say", "text": ["SECRET"]}', "text: not a text"),
    "say not a number": ('{"type": "say", "text": NaN}', "text: not a text"),
    "say infinity": ('{"type": "say", "text": 1e999}', "text: not a text"),
    "say half a character": ('{"type": "say", "text": "\\ud800"}', "not JSON"),
    "huge number": ('{"type": "say", "text": ' + "9" * 60_000 + "}", "not JSON"),
    "huge number in a field of no meaning": ('{"type": "who", "x": ' + "9" * 60_000 + "}", "not JSON"),
    "whisper to nobody": ('{"type": "whisper", "text": "SECRET"}', "to: missing"),
    "whisper to a number": ('{"type": "whisper", "to": 1, "text": "SECRET"}', "to: not a text"),
    "whisper to blanks": ('{"type": "whisper", "to": "  ", "text": "SECRET"}', "to: empty"),
    "whisper to a long one": (
        json.dumps({"type": "whisper", "to": "SECRET" * 100, "text": "x"}),
        "to: too long, limit 100 characters",
    ),
    "deep list": ("[" * 60_000, "not JSON"),
    "deep object": ('{"type":' * 8_000, "not JSON"),
    "deep and whole": ('{"type": "who", "x": ' + "[" * 30_000 + "]" * 30_000 + "}", "not JSON"),
}


@pytest.mark.parametrize(("junk", "message"), JUNK.values(), ids=JUNK.keys())
async def test_junk_is_answered_with_an_error(enter: Enter, junk: str | bytes, message: str) -> None:
    """The sender hears what is wrong, the others nothing, and the connection goes on."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    await ada.socket.send(junk)
    assert await ada.hear() == {"type": "error", "error": "bad_message", "message": message}
    assert await ada.has_heard_all()
    assert await bob.has_heard_all()


async def test_unknown_field_is_ignored(enter: Enter) -> None:
    """A client of a later version may say more."""
    ada = await enter()
    assert (await ada.ask("say", text="hello", mood="fine"))["text"] == "hello"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
near_misses = st.fixed_dictionaries(
    {"type": st.sampled_from(["name", "say", "whisper", "who"]) | json_values},
    optional={"name": json_values, "text": json_values, "to": json_values},
).map(json.dumps)


def test_nothing_ends_a_connection(tmp_path: Path) -> None:
    """Any text, any bytes and anything like a message get one answer each, and no handler fails."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        served = runner.run(stack.enter_async_context(serve(tmp_path, YAML)))
        try:
            client = runner.run(stack.enter_async_context(served.client("/chat/lobby")))
            runner.run(client.receive())

            @settings(max_examples=200, deadline=None)
            @given(st.text() | st.binary() | near_misses)
            def answers(junk: str | bytes) -> None:
                assert runner.run(_answer(client, junk)) in {"error", "renamed", "message", "whisper", "who"}

            answers()
        finally:
            runner.run(stack.aclose())
        assert served.errors == []


async def _answer(client: Client, junk: str | bytes) -> str:
    """Send junk and a question; give the type of the only answer before that to the question."""
    await client.send(junk)
    await client.send('{"type": "who"}')
    kind: str = (await client.receive_json())["type"]
    assert (await client.receive_json())["type"] == "who"
    return kind


async def test_nasty_conversations(check_handler: Callable[..., Awaitable[None]]) -> None:
    """No client makes the handler fail, or harms another member of the room."""
    messages = [
        '{"type": "name", "name": "Ada"}',
        '{"type": "say", "text": "hello"}',
        '{"type": "whisper", "to": "Ada", "text": "psst"}',
        '{"type": "who"}',
    ]
    await check_handler(YAML, messages=messages)
