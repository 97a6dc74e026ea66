from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from websockets.frames import Opcode

from gateway.protocol.events import CloseReceived, PingReceived, PongReceived, Violation
from gateway.protocol.frames import FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.protocol.events import Event

    Build = Callable[..., bytes]
    Make = Callable[[Build], bytes]

CONT, TEXT, BINARY, CLOSE, PING, PONG = Opcode

LIMIT = 70_000
FRAGMENTS = 4

UNMASKED = "frame is not masked"
RESERVED = "reserved bit set without an extension"
UNKNOWN = "unknown opcode"
FRAGMENTED = "control frame is fragmented"
LONG = "control frame is longer than 125 bytes"
LENGTH = "frame length is not minimal or too long"
STRAY = "continuation without a message"
NESTED = "new message inside a fragmented one"

BROKEN_FRAMES: list[tuple[str, Make, str]] = [
    *[
        (f"unmasked {op.name}", lambda f, op=op: f(op, b"\x03\xe8", masked=False), UNMASKED)
        for op in (TEXT, BINARY, CLOSE, PING, PONG)
    ],
    ("unmasked and empty", lambda f: f(TEXT, masked=False), UNMASKED),
    *[
        (
            f"RSV {bits:03b} on {op.name}",
            lambda f, op=op, bits=bits: f(op, b"\x03\xe8", reserved=bits),
            RESERVED,
        )
        for op in (TEXT, BINARY, CLOSE, PING, PONG)
        for bits in range(1, 8)
    ],
    ("RSV1 on a continuation", lambda f: f(TEXT, final=False) + f(CONT, reserved=4), RESERVED),
    *[
        (f"opcode {op:#x}", lambda f, op=op: f(op, b"x"), UNKNOWN)
        for op in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)
    ],
    *[
        (f"fragmented {op.name}", lambda f, op=op: f(op, b"\x03\xe8", final=False), FRAGMENTED)
        for op in (CLOSE, PING, PONG)
    ],
    *[
        (f"{op.name} of {size} bytes", lambda f, op=op, size=size: f(op, b"\x03\xe8" + bytes(size - 2)), LONG)
        for op in (CLOSE, PING, PONG)
        for size in (126, 65_536)
    ],
    ("ping with a length in two bytes", lambda f: f(PING, b"x", width=2), LONG),
    *[
        (f"length {size} in {width} bytes", lambda f, s=size, w=width: f(TEXT, bytes(s), width=w), LENGTH)
        for size, width in ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8))
    ],
    ("length with its top bit", lambda f: f(BINARY, width=8, declared=1 << 63), LENGTH),
    ("length of all ones", lambda f: f(BINARY, width=8, declared=(1 << 64) - 1), LENGTH),
    ("stray continuation", lambda f: f(CONT, b"x"), STRAY),
    ("stray continuation that goes on", lambda f: f(CONT, b"x", final=False), STRAY),
    ("text inside text", lambda f: f(TEXT, b"a", final=False) + f(TEXT, b"b"), NESTED),
    ("binary inside text", lambda f: f(TEXT, b"a", final=False) + f(BINARY, b"b", final=False), NESTED),
    ("text inside binary, after a ping", lambda f: f(BINARY, final=False) + f(PING) + f(TEXT), NESTED),
]


def make_reader(limit: int = LIMIT, fragments: int = FRAGMENTS) -> FrameReader:
    """Make a reader."""
    return FrameReader(limit, fragments)


def feed_bytewise(reader: FrameReader, data: bytes) -> tuple[int, list[Event]]:
    """Feed byte by byte up to a violation; give how many bytes that took, and all events."""
    events: list[Event] = []
    for count, byte in enumerate(data, start=1):
        events += reader.feed(bytes((byte,)))
        if events and type(events[-1]) is Violation:
            return count, events
    return len(data), events


def messages(events: Iterable[Event]) -> list[Event]:
    """Give the events that a handler would see."""
    return [event for event in events if isinstance(event, str | bytes)]


@pytest.mark.parametrize(
    ("make", "reason"), [row[1:] for row in BROKEN_FRAMES], ids=[row[0] for row in BROKEN_FRAMES]
)
def test_broken_frame_is_a_protocol_error(frame: Build, make: Make, reason: str) -> None:
    """A broken frame is 1002; what came before it counts, nothing of it or after it does."""
    stream = frame(TEXT, b"before") + make(frame) + frame(TEXT, b"after")
    for feed in (make_reader().feed, lambda data: feed_bytewise(make_reader(), data)[1]):
        events = feed(stream)
        assert events[-1] == Violation(1002, reason)
        assert messages(events) == ["before"]


def test_continuation_of_an_ended_message(frame: Build) -> None:
    """A message ends with its final frame: a continuation behind it is a stray one."""
    stream = frame(TEXT, b"a", final=False) + frame(CONT, b"b") + frame(CONT, b"c")
    assert make_reader().feed(stream) == ["ab", Violation(1002, STRAY)]


@pytest.mark.parametrize("end", [Violation(1002, UNMASKED), CloseReceived(1000, "")])
def test_nothing_is_read_after_the_end(frame: Build, end: Event) -> None:
    """Whatever comes after a violation or a close is ignored, in the same read and in later ones."""
    last = frame(CLOSE, b"\x03\xe8", masked=isinstance(end, CloseReceived))
    reader = make_reader()
    expected = Violation(1002, UNMASKED) if isinstance(end, Violation) else end
    assert reader.feed(frame(TEXT, b"a") + last + frame(TEXT, b"b") + b"\xff") == ["a", expected]
    assert reader.feed(frame(TEXT, b"c")) == []
    assert reader.feed(b"\xff" * 20) == []
    assert (reader.has_more, reader.unfinished) == (False, 0)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda f: f(TEXT, reserved=1), 2),
        (lambda f: f(TEXT, masked=False, declared=60_000), 2),
        (lambda f: f(PING, declared=126), 2),
        (lambda f: f(CONT, declared=100), 2),
        (lambda f: f(BINARY, width=2, declared=125), 4),
        (lambda f: f(BINARY, width=8, declared=65_535), 10),
        (lambda f: f(BINARY, width=8, declared=1 << 63), 10),
    ],
)
def test_frame_is_judged_by_its_header(frame: Build, make: Make, count: int) -> None:
    """A broken frame ends the connection as soon as its header shows it, without masking key or payload."""
    assert feed_bytewise(make_reader(), make(frame))[0] == count


@pytest.mark.parametrize(
    ("limit", "make", "count", "total"),
    [
        (100, lambda f: f(TEXT, declared=101), 2, 101),
        (0, lambda f: f(BINARY, declared=1), 2, 1),
        (125, lambda f: f(TEXT, declared=126), 4, 126),
        (65_535, lambda f: f(BINARY, declared=65_536), 10, 65_536),
        (65_536, lambda f: f(TEXT, declared=(1 << 63) - 1), 10, (1 << 63) - 1),
        (100, lambda f: f(TEXT, bytes(60), final=False) + f(CONT, declared=41), 68, 101),
        (
            100,
            lambda f: f(TEXT, bytes(60), final=False) + f(PING, bytes(90)) + f(CONT, declared=41),
            164,
            101,
        ),
        (100, lambda f: f(BINARY, bytes(100), final=False) + f(CONT, declared=1, final=False), 108, 101),
        (100, lambda f: f(TEXT, final=False) + f(CONT, declared=70_000), 16, 70_000),
    ],
)
def test_long_message_is_judged_by_its_header(
    frame: Build, limit: int, make: Make, count: int, total: int
) -> None:
    """A message over its limit is 1009 before a byte of the payload that breaks it has come."""
    violation = Violation(1009, f"message too big: {total} bytes, limit {limit}")
    data = make(frame)
    seen, events = feed_bytewise(make_reader(limit), data)
    assert (seen, events[-1]) == (count, violation)
    assert messages(events) == []
    assert make_reader(limit).feed(data)[-1] == violation


@pytest.mark.parametrize("limit", [0, 1, 100, 125, 126, 65_535, 65_536])
def test_message_of_the_exact_limit_passes(frame: Build, limit: int) -> None:
    """A message of just the limit passes, whole, with empty fragments, and cut anywhere."""
    payload = b"x" * limit
    reader = make_reader(limit)
    assert reader.feed(frame(BINARY, payload)) == [payload]
    for cut in {0, limit // 2, limit}:
        halves = frame(TEXT, payload[:cut], final=False) + frame(CONT, payload[cut:])
        assert reader.feed(halves) == [payload.decode()]
    # The limit is each message's own, so the ones before take nothing of it.
    assert reader.feed(frame(TEXT, payload) * 3) == [payload.decode()] * 3


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_too_many_fragments(frame: Build, opcode: int) -> None:
    """A message may have its most fragments and not one more; control frames are not counted."""
    part = frame(CONT, b"x", final=False) + frame(PING)
    start = frame(opcode, b"x", final=False) + part * (FRAGMENTS - 2)
    reader = make_reader()
    assert messages(reader.feed((start + frame(CONT, b"y")) * 2)) in (["xxxy"] * 2, [b"xxxy"] * 2)
    # That the last one which may come says it is not the last is enough.
    count, events = feed_bytewise(reader, start + frame(CONT, b"y", final=False) + frame(CONT, b"z"))
    assert events[-1] == Violation(1008, f"too many fragments in a message, limit {FRAGMENTS}")
    assert count == len(start) + 2
    assert messages(events) == []


def test_one_fragment_is_an_unfragmented_message(frame: Build) -> None:
    """A reader that allows one frame a message takes whole messages, in whatever pieces they come."""
    reader = make_reader(fragments=1)
    stream = frame(TEXT, b"short") + frame(BINARY, bytes(300))
    assert reader.feed(stream) == ["short", bytes(300)]
    assert feed_bytewise(reader, stream)[1] == ["short", bytes(300)]
    assert reader.feed(frame(TEXT, b"x", final=False))[0][0] == 1008


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 300, 65_535, 65_536])
def test_legal_frame_a_byte_at_a_time(frame: Build, size: int) -> None:
    """A legal frame of any size comes whole when its bytes come one by one."""
    payload = b"x" * size
    assert feed_bytewise(make_reader(), frame(BINARY, payload)) == (len(frame(BINARY, payload)), [payload])
    if size <= 125:
        assert feed_bytewise(make_reader(), frame(PING, payload))[1] == [PingReceived(payload)]


@pytest.mark.parametrize(
    ("opcode", "event"), [(PING, PingReceived), (PONG, PongReceived)], ids=["ping", "pong"]
)
@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frames_come_between_fragments(
    frame: Build, opcode: int, event: Callable[[bytes], Any], size: int
) -> None:
    """Pings and pongs between the fragments of a message come at once and leave the message whole."""
    control = frame(opcode, bytes(size))
    stream = frame(TEXT, "é".encode()[:1], final=False) + control + frame(CONT, "é".encode()[1:]) + control
    expected = [event(bytes(size)), "é", event(bytes(size))]
    assert make_reader().feed(stream) == expected
    assert feed_bytewise(make_reader(), stream)[1] == expected


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1014, 3000, 3999, 4000, 4999])
def test_close_with_a_legal_code(frame: Build, code: int) -> None:
    """A close frame gives its code and reason, the longest one too, and in any pieces."""
    for reason in ("", "bye", "ü" * 61 + "!"):
        data = frame(CLOSE, code.to_bytes(2) + reason.encode())
        assert make_reader().feed(data) == [CloseReceived(code, reason)]
        assert feed_bytewise(make_reader(), data)[1] == [CloseReceived(code, reason)]


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535])
def test_close_with_an_illegal_code(frame: Build, code: int) -> None:
    """A close frame with a code that no peer may send is 1002, as soon as the code is there."""
    violation = Violation(1002, f"close code {code} is not allowed on the wire")
    for reason in (b"", b"bye", b"\xff"):
        data = frame(CLOSE, code.to_bytes(2) + reason)
        assert make_reader().feed(data) == [violation]
        assert feed_bytewise(make_reader(), data) == (8, [violation])


def test_close_bodies_without_a_code(frame: Build) -> None:
    """An empty close has the code 1005; a body of one byte is 1002."""
    assert make_reader().feed(frame(CLOSE)) == [CloseReceived(1005, "")]
    assert feed_bytewise(make_reader(), frame(CLOSE))[1] == [CloseReceived(1005, "")]
    violation = Violation(1002, "close frame with a body of one byte")
    assert make_reader().feed(frame(CLOSE, b"\x03")) == [violation]
    assert feed_bytewise(make_reader(), frame(CLOSE, b"\x03"))[1] == [violation]


def test_close_inside_a_fragmented_message(frame: Build) -> None:
    """A close frame may stand between fragments (RFC 6455 section 5.4); the message is given up."""
    reader = make_reader()
    assert reader.feed(frame(TEXT, b"a", final=False) + frame(CLOSE, b"\x03\xe8")) == [
        CloseReceived(1000, "")
    ]
    assert reader.feed(frame(CONT, b"b")) == []
    assert reader.unfinished == 0
