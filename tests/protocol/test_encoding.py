from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from gateway.protocol.encoding import encode_close, encode_message, encode_ping, encode_pong

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [0, 1, 124, 125, 126, 127, 65_535, 65_536, 100_000]


def parse(data: bytes) -> list[Frame]:
    """Read frames as a client does, with the `websockets` library."""
    client = Protocol(Side.CLIENT, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    frames = client.events_received()
    assert all(isinstance(frame, Frame) for frame in frames)
    assert b"".join(frame.serialize(mask=False) for frame in frames) == data
    return frames


@pytest.mark.parametrize("size", SIZES)
def test_text_round_trip(size: int) -> None:
    """Text of every width of length is read by a client as it was sent, in the shortest form."""
    for text in ("x" * size, "é" * (size // 2)):
        assert parse(encode_message(text)) == [Frame(Opcode.TEXT, text.encode())]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=["bytes", "bytearray", "memoryview"])
def test_binary_round_trip(size: int, make: Callable[[bytes], bytes]) -> None:
    """Each kind of bytes is read by a client as a binary message."""
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    frame = encode_message(make(payload))
    assert type(frame) is bytes
    assert parse(frame) == [Frame(Opcode.BINARY, payload)]


def test_memoryview_of_a_part() -> None:
    """A memoryview counts in bytes, and may skip some or hold wider items."""
    assert parse(encode_message(memoryview(b"abcdef")[::2]))[0].data == b"ace"
    assert parse(encode_message(memoryview(b"abcdefgh").cast("I")))[0].data == b"abcdefgh"


def test_frames_follow_each_other() -> None:
    """Frames joined into one write are read one by one."""
    data = (
        encode_message("a")
        + encode_ping(b"p")
        + encode_message(b"b" * 300)
        + encode_pong(b"")
        + encode_close(1000)
    )
    assert [frame.opcode for frame in parse(data)] == [1, 9, 2, 10, 8]


@pytest.mark.parametrize("message", [None, 1, ["a"], object()])
def test_other_types_are_no_messages(message: object) -> None:
    """Neither text nor bytes is a TypeError that names the type."""
    with pytest.raises(TypeError, match=f"not {type(message).__name__}"):
        encode_message(message)  # type: ignore[arg-type]


def test_lone_surrogate_cannot_be_sent() -> None:
    """Text that UTF-8 cannot carry is an error, not a frame that the client must refuse."""
    with pytest.raises(UnicodeEncodeError):
        encode_message("a\ud800")


@pytest.mark.parametrize("size", [0, 1, 125])
def test_pings_and_pongs_round_trip(size: int) -> None:
    """A client reads the payload of a ping and a pong."""
    payload = bytes(size)
    assert parse(encode_ping(payload) + encode_pong(payload)) == [
        Frame(Opcode.PING, payload),
        Frame(Opcode.PONG, payload),
    ]


def close_of(data: bytes) -> Close:
    """Read a close frame."""
    return Close.parse(parse(data)[0].data)


def test_empty_close() -> None:
    """A close without a code has no body, whatever reason was given."""
    assert encode_close(None) == b"\x88\x00"
    assert encode_close(None, "why") == b"\x88\x00"


@pytest.mark.parametrize("code", [1000, 1013, 3000, 4401, 4999])
def test_close_round_trip(code: int) -> None:
    """A client reads code and reason."""
    assert close_of(encode_close(code)) == Close(code, "")
    assert close_of(encode_close(code, "auf Wiedersehen, 再见")) == Close(code, "auf Wiedersehen, 再见")


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "é" * 61, "x" + "é" * 61),
        ("再" * 41, "再" * 41),
        ("x" + "再" * 41, "x" + "再" * 40),
        ("😀" * 31, "😀" * 30),
        ("xxx" + "😀" * 30 + "y", "xxx" + "😀" * 30),
        ("a\ud800b", "a?b"),
    ],
)
def test_long_reason_is_cut_between_characters(reason: str, kept: str) -> None:
    """A reason is cut at 123 bytes at most, and stays UTF-8."""
    assert close_of(encode_close(1000, reason)) == Close(1000, kept)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_reason_is_a_beginning_of_what_was_given(reason: str) -> None:
    """Whatever the reason, a client reads its longest beginning that fits."""
    kept = close_of(encode_close(1001, reason)).reason
    assert reason.startswith(kept)
    assert len(kept.encode()) <= 123
    assert kept == reason or len(reason[: len(kept) + 1].encode()) > 123
