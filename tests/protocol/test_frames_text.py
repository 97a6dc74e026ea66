from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from gateway.protocol.events import CloseReceived, Violation
from gateway.protocol.frames import FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[..., bytes]

CONT, TEXT, CLOSE = Opcode.CONT, Opcode.TEXT, Opcode.CLOSE

HEADER = 6
NOT_TEXT = Violation(1007, "text is not UTF-8")
NOT_A_REASON = Violation(1007, "close reason is not UTF-8")

# Bytes that begin like UTF-8, and the place of the first one that cannot belong to it.
BAD = [
    pytest.param(b"\x80", 0, id="a continuation byte alone"),
    pytest.param(b"\xbf", 0, id="the last continuation byte alone"),
    pytest.param(b"\xc0\x80", 0, id="NUL in two bytes"),
    pytest.param(b"\xc1\xbf", 0, id="DEL in two bytes"),
    pytest.param(b"a\xe0\x80\xaf", 2, id="a slash in three bytes"),
    pytest.param(b"\xe0\x9f\xbf", 1, id="U+07FF in three bytes"),
    pytest.param(b"\xed\xa0\x80", 1, id="the first surrogate"),
    pytest.param(b"\xed\xad\xbf\xed\xb0\x80", 1, id="a pair of surrogates"),
    pytest.param(b"\xed\xbf\xbf", 1, id="the last surrogate"),
    pytest.param(b"\xf0\x80\x80\xaf", 1, id="a slash in four bytes"),
    pytest.param(b"\xf0\x8f\xbf\xbf", 1, id="U+FFFF in four bytes"),
    pytest.param(b"\xf4\x90\x80\x80", 1, id="U+110000"),
    pytest.param(b"\xf5\x80\x80\x80", 0, id="U+140000"),
    pytest.param(b"\xf8\x88\x80\x80\x80", 0, id="five bytes"),
    pytest.param(b"\xfe", 0, id="FE"),
    pytest.param(b"\xff", 0, id="FF"),
    pytest.param(b"\xc3\x28", 1, id="two bytes cut short"),
    pytest.param(b"\xe2\x82\x28", 2, id="three bytes cut short"),
    pytest.param(b"\xf0\x9f\x98\x28", 3, id="four bytes cut short"),
    pytest.param("κόσμε".encode() + b"\xed\xa0\x80edited", 11, id="a surrogate in a text"),
]

# RFC 3629 section 4, and what its characters can begin with.
TAIL = rb"[\x80-\xbf]"
CHARACTERS = rb"""(?: [\x00-\x7f] | [\xc2-\xdf] T | \xe0 [\xa0-\xbf] T | [\xe1-\xec\xee\xef] T T
    | \xed [\x80-\x9f] T | \xf0 [\x90-\xbf] T T | [\xf1-\xf3] T T T | \xf4 [\x80-\x8f] T T )*""".replace(
    b"T", TAIL
)
BEGINNINGS = rb"""(?: [\xc2-\xf4] | \xe0 [\xa0-\xbf] | [\xe1-\xec\xee\xef] T | \xed [\x80-\x9f]
    | (?: \xf0 [\x90-\xbf] | [\xf1-\xf3] T | \xf4 [\x80-\x8f] ) T? )?""".replace(b"T", TAIL)
WHOLE = re.compile(CHARACTERS, re.VERBOSE)
PART = re.compile(CHARACTERS + BEGINNINGS, re.VERBOSE)


def first_bad_byte(data: bytes) -> int | None:
    """Give the place of the first byte with which `data` cannot begin any UTF-8, by RFC 3629's grammar."""
    return next((end - 1 for end in range(1, len(data) + 1) if not PART.fullmatch(data[:end])), None)


def bytes_until(data: bytes, violation: Violation) -> int:
    """Give after how many bytes, fed one by one, a reader reports the violation and nothing else."""
    reader = FrameReader(1000, 100)
    for count, byte in enumerate(data, start=1):
        events = reader.feed(bytes((byte,)))
        if events:
            assert events == [violation]
            return count
    raise AssertionError("the reader found nothing wrong")


@pytest.mark.parametrize(("bad", "place"), BAD)
def test_the_cases_are_right(bad: bytes, place: int) -> None:
    """The table of bad bytes agrees with the grammar of RFC 3629."""
    assert first_bad_byte(bad) == place


@pytest.mark.parametrize(("bad", "place"), BAD)
@pytest.mark.parametrize("size", [0, 100, 300])
def test_bad_text_in_one_frame(frame: Build, bad: bytes, place: int, size: int) -> None:
    """Bad text is 1007 whole, and byte by byte at the first bad byte, however much is still to come."""
    data = frame(TEXT, bad + b"a" * size)
    assert FrameReader(1000, 100).feed(data) == [NOT_TEXT]
    header = len(data) - len(bad) - size
    assert bytes_until(data, NOT_TEXT) == header + place + 1


@pytest.mark.parametrize(("bad", "place"), BAD)
def test_bad_text_over_fragments(frame: Build, bad: bytes, place: int) -> None:
    """Bad text with a fragment for each byte is 1007 within the fragment of the first bad byte."""
    fragments = [frame(CONT if at else TEXT, bad[at : at + 1], final=False) for at in range(len(bad))]
    assert FrameReader(1000, 100).feed(b"".join(fragments)) == [NOT_TEXT]
    assert bytes_until(b"".join(fragments), NOT_TEXT) == (place + 1) * (HEADER + 1)


@pytest.mark.parametrize(("bad", "place"), BAD)
def test_bad_close_reason(frame: Build, bad: bytes, place: int) -> None:
    """A close reason that is not UTF-8 is 1007 too, at its first bad byte."""
    data = frame(CLOSE, b"\x03\xe8" + bad + b"a" * 50)
    assert FrameReader(1000, 100).feed(data) == [NOT_A_REASON]
    assert bytes_until(data, NOT_A_REASON) == HEADER + 2 + place + 1


@pytest.mark.parametrize(
    "end", [b"\xc3", b"\xe2", b"\xe2\x82", b"\xed\x9f", b"\xf0\x9f\x98", b"\xf4\x8f\xbf"]
)
def test_text_that_ends_within_a_character(frame: Build, end: bytes) -> None:
    """Text or a reason that ends within a character is 1007 at its end, and not before."""
    for size in (0, 200):
        text = b"a" * size + end
        assert FrameReader(1000, 100).feed(frame(TEXT, text)) == [NOT_TEXT]
        assert bytes_until(frame(TEXT, text), NOT_TEXT) == len(frame(TEXT, text))
        parts = frame(TEXT, text, final=False) + frame(CONT)
        assert FrameReader(1000, 100).feed(parts) == [NOT_TEXT]
        assert bytes_until(parts, NOT_TEXT) == len(parts)
    close = frame(CLOSE, b"\x03\xe8" + end)
    assert FrameReader(1000, 100).feed(close) == [NOT_A_REASON]
    assert bytes_until(close, NOT_A_REASON) == len(close)


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\x7f\x80",
        "߿ࠀ",
        "\ud7ff\ue000",
        "\ufeff",
        "\ufffe\uffff",
        "\U00010000",
        "\U0010ffff",
        "κόσμε 🎉",
    ],
)
def test_good_text_in_every_cut(frame: Build, text: str) -> None:
    """Every character of Unicode passes, at the edges of its ranges too, wherever frames and reads cut it."""
    encoded = text.encode()
    for cut in range(len(encoded) + 1):
        stream = frame(TEXT, encoded[:cut], final=False) + frame(CONT, encoded[cut:])
        assert FrameReader(1000, 100).feed(stream) == [text]
        reader = FrameReader(1000, 100)
        events = [event for byte in stream for event in reader.feed(bytes((byte,)))]
        assert events == [text]
    reader = FrameReader(1000, 100)
    data = frame(CLOSE, b"\x03\xe8" + encoded)
    assert [event for byte in data for event in reader.feed(bytes((byte,)))] == [CloseReceived(1000, text)]


def test_binary_is_no_text(frame: Build) -> None:
    """A binary message, a ping and a pong may hold any bytes."""
    for opcode in (Opcode.BINARY, Opcode.PING, Opcode.PONG):
        for parts in (1, 20):
            data = frame(opcode, b"\xff\xfe\xed\xa0\x80")
            step = len(data) // parts + 1
            reader = FrameReader(1000, 100)
            events = [e for at in range(0, len(data), step) for e in reader.feed(data[at : at + step])]
            assert events in ([b"\xff\xfe\xed\xa0\x80"], [(b"\xff\xfe\xed\xa0\x80",)])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.text(max_size=6),
    rest=st.lists(
        st.sampled_from((0x28, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xE0, 0xED, 0xF0, 0xF4)), max_size=5
    ),
    ends=st.sets(st.integers(0, 30)),
)
@example(start="", rest=[0xED, 0xA0], ends={1})
def test_any_text_is_judged_by_the_grammar(frame: Build, start: str, rest: list[int], ends: set[int]) -> None:
    """Over any fragments, text is refused at the byte at which RFC 3629's grammar refuses it, else passed."""
    payload = start.encode() + bytes(rest)
    cuts = [0, *sorted(end for end in ends if end < len(payload)), len(payload)]
    stream = b""
    place = first_bad_byte(payload)
    expected = None
    for index, (begin, end) in enumerate(pairwise(cuts)):
        if place is not None and begin <= place < end:
            expected = len(stream) + HEADER + place - begin + 1
        stream += frame(CONT if index else TEXT, payload[begin:end], final=end == len(payload))
    if expected is None and WHOLE.fullmatch(payload):
        assert FrameReader(1000, 100).feed(stream) == [payload.decode()]
    else:
        assert bytes_until(stream, NOT_TEXT) == (expected or len(stream))
