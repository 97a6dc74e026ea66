"""The shapes of messages, apart from any connection."""

from __future__ import annotations

import json

import pytest

from gateway_live import messages
from gateway_live.messages import Hello, MessageError, Push, Sample

SAMPLE: Sample = {
    "number": 7,
    "time": 1_700_000_000.125,
    "cpu_percent": 12.5,
    "memory_percent": 40.0,
    "memory_bytes": 4_000_000_000,
    "connections": 3,
    "messages_in_per_second": 1.5,
    "messages_out_per_second": 9.0,
}

JUNK = {
    "empty": "",
    "half": '{"type": "hello"',
    "binary": b'{"type": "hello", "consumer": "a"}',
    "number": "1",
    "null": "null",
    "list": '["hello"]',
    "no type": "{}",
    "unknown type": '{"type": "launch"}',
    "type is a list": '{"type": ["hello"]}',
    "hello without consumer": '{"type": "hello"}',
    "consumer with a space": '{"type": "hello", "consumer": "a b"}',
    "consumer with a newline": '{"type": "hello", "consumer": "a\\n"}',
    "consumer too long": json.dumps({"type": "hello", "consumer": "a" * 65}),
    "consumer empty": '{"type": "hello", "consumer": ""}',
    "consumer is a number": '{"type": "hello", "consumer": 5}',
    "at is a text": '{"type": "hello", "consumer": "a", "at": "now"}',
    "at is infinite": '{"type": "hello", "consumer": "a", "at": 1e999}',
    "push without text": '{"type": "push", "to": "everyone"}',
    "push of nothing": '{"type": "push", "to": "everyone", "text": ""}',
    "push of half a character": '{"type": "push", "to": "everyone", "text": "\\ud800"}',
    "push to a bad id": '{"type": "push", "to": "$everyone", "text": "x"}',
    "deep": "[" * 100_000,
}


def test_hello_is_read() -> None:
    """A hello gives the consumer id and the client's number."""
    assert messages.parse('{"type": "hello", "consumer": "tab-1.a_B", "at": 12.5}') == Hello(
        type="hello", consumer="tab-1.a_B", at=12.5
    )


def test_push_is_read() -> None:
    """A push gives its addressee and its text."""
    assert messages.parse('{"type": "push", "to": "everyone", "text": "你好"}') == Push(
        type="push", to="everyone", text="你好"
    )


def test_unknown_field_is_ignored() -> None:
    """A client of a later version may say more."""
    assert messages.parse('{"type": "hello", "consumer": "a", "mood": "fine"}') == Hello(
        type="hello", consumer="a"
    )


@pytest.mark.parametrize("message", JUNK.values(), ids=JUNK.keys())
def test_junk_is_an_error_of_its_own(message: str | bytes) -> None:
    """Whatever else comes raises MessageError, and nothing but that."""
    with pytest.raises(MessageError):
        messages.parse(message)


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "SECRET"}',
        '{"type": "hello", "consumer": "SECRET SECRET"}',
        '{"SECRET": 1',
        '{"type": "push", "to": "SECRET!", "text": "x"}',
    ],
)
def test_error_repeats_nothing_of_the_input(message: str) -> None:
    """The text of an error is the gateway's own."""
    with pytest.raises(MessageError) as caught:
        messages.parse(message)
    assert "SECRET" not in str(caught.value)


def test_figures_are_the_sample_with_a_type() -> None:
    """A sample goes over the wire flat."""
    assert json.loads(messages.figures(SAMPLE)) == {"type": "figures", **SAMPLE}


def test_snapshot_rows_follow_the_fields() -> None:
    """Each row of a snapshot is a sample again when it is put beside the field names."""
    later: Sample = {**SAMPLE, "number": 8}
    text = messages.snapshot("c1", interval_seconds=1.0, allow_push=False, samples=[SAMPLE, later])
    told = json.loads(text)
    assert [dict(zip(told["fields"], row, strict=True)) for row in told["rows"]] == [SAMPLE, later]


def test_text_is_written_as_it_is() -> None:
    """Texts beyond ASCII are not escaped: they would take twice the bytes."""
    assert "你好" in messages.push(None, "everyone", "你好")
