from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from websockets.frames import Opcode

from gateway.protocol.events import CloseReceived, PingReceived, PongReceived, Violation
from gateway.protocol.frames import FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Build = Callable[..., bytes]

CONT, TEXT, BINARY, CLOSE, PING, PONG = Opcode

LIMIT = 1 << 20
# What a reader and its bookkeeping may take besides the bytes of a message.
CONSTANT = 4096


@pytest.fixture
def reader() -> FrameReader:
    """A reader with a limit of 1 MiB and 100 fragments."""
    return FrameReader(LIMIT, 100)


class Meter:
    """A meter of memory; it counts from its making."""

    def __init__(self) -> None:
        tracemalloc.reset_peak()
        self._before = tracemalloc.get_traced_memory()[0]

    @property
    def held(self) -> int:
        """Bytes held now, more than at the beginning."""
        return tracemalloc.get_traced_memory()[0] - self._before

    @property
    def peak(self) -> int:
        """Most bytes that were held at once."""
        return tracemalloc.get_traced_memory()[1] - self._before


@pytest.fixture
def _traced() -> Iterator[None]:
    """Memory is traced."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def chunks(data: bytes, size: int) -> Iterable[bytes]:
    """Cut bytes into pieces of a size."""
    return (data[at : at + size] for at in range(0, len(data), size))


# `unfinished`: what the deadline of a message watches.


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81", id="1 byte"),
        pytest.param(b"\x81\x85", id="2 bytes"),
        pytest.param(b"\x81\x85\0\0\0", id="key cut"),
        pytest.param(b"\x81\x85\0\0\0\0", id="header"),
        pytest.param(b"\x81\x85\0\0\0\0aaaa", id="payload cut"),
        pytest.param(b"\x01\x80\0\0\0\0", id="empty fragment"),
        pytest.param(b"\x89", id="1 byte of a ping"),
        pytest.param(b"\x89\x82\0\0\0\0", id="header of a ping"),
        pytest.param(b"\x89\x82\0\0\0\0a", id="ping cut"),
        pytest.param(b"\x88\x82\0\0\0\0\x03", id="close cut"),
    ],
)
def test_what_has_begun_has_a_number(reader: FrameReader, data: bytes) -> None:
    """Anything that has begun and not ended is numbered; a fresh reader has begun nothing."""
    assert (reader.unfinished, reader.has_more) == (0, False)
    assert reader.feed(data) == []
    assert reader.unfinished != 0


@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000])
def test_number_stays_until_the_message_ends(reader: FrameReader, frame: Build, size: int) -> None:
    """A message keeps its number while its bytes trickle, and then there is none."""
    data = frame(BINARY, bytes(size))
    numbers = set()
    for piece in chunks(data[:-1], 1 if size < 200 else 1000):
        assert reader.feed(piece) == []
        numbers.add(reader.unfinished)
    assert len(numbers) == 1
    assert reader.feed(data[-1:]) == [bytes(size)]
    assert reader.unfinished == 0


def test_nothing_prolongs_a_fragmented_message(reader: FrameReader, frame: Build) -> None:
    """Fragments, pings and pongs, whole or in pieces, leave an unfinished message its number."""
    reader.feed(frame(TEXT, b"a", final=False))
    number = reader.unfinished
    stream = (
        frame(PING, b"abc") + frame(PONG) + frame(CONT, b"b", final=False) + frame(CONT, final=False)
    ) * 3
    for size in (1, 7, len(stream)):
        for piece in chunks(stream, size):
            reader.feed(piece)
            assert reader.unfinished == number
    assert len(reader.feed(frame(CONT))) == 1
    assert reader.unfinished == 0


def test_each_message_has_its_own_number(reader: FrameReader, frame: Build) -> None:
    """What begins in the read in which another ended is as young as that read: messages and pings alike."""
    for first in (TEXT, PING, PONG):
        for second in (TEXT, BINARY, PING, PONG):
            reader.feed(frame(first, b"abc")[:8])
            number = reader.unfinished
            reader.feed(frame(first, b"abc")[8:] + frame(second, b"def")[:3])
            assert reader.unfinished not in {0, number}
            reader.feed(frame(second, b"def")[3:])
            assert reader.unfinished == 0


def test_message_that_begins_behind_a_pending_ping_is_young(reader: FrameReader, frame: Build) -> None:
    """A fragmented message has a number of its own even if only a ping ended in the read that began it."""
    reader.feed(frame(PING, b"abc")[:4])
    number = reader.unfinished
    assert reader.feed(frame(PING, b"abc")[4:] + frame(TEXT, b"a", final=False)) == [PingReceived(b"abc")]
    young = reader.unfinished
    assert young not in {0, number}
    reader.feed(frame(PING))
    assert reader.unfinished == young


def test_header_in_pieces_is_the_beginning_of_its_message(reader: FrameReader, frame: Build) -> None:
    """A fragment's number is that of its first byte, not of its last."""
    data = frame(TEXT, b"a", final=False)
    reader.feed(data[:1])
    number = reader.unfinished
    reader.feed(data[1:])
    assert reader.unfinished == number


@pytest.mark.parametrize("end", [b"\x88\x80\0\0\0\0", b"\x70\x80"], ids=["close", "violation"])
def test_nothing_is_unfinished_after_the_end(reader: FrameReader, frame: Build, end: bytes) -> None:
    """After a close or a violation no deadline is watched, whatever was under way."""
    reader.feed(frame(TEXT, b"a", final=False))
    assert type(reader.feed(end + b"\x81")[0]) in {CloseReceived, Violation}
    assert reader.unfinished == 0


# `limit` and `has_more`: the backlog of a connection whose handler waits.


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 6, 7])
def test_limit_keeps_what_lies_behind_it(reader: FrameReader, frame: Build, limit: int) -> None:
    """A limited call gives that many events, control frames counted, and later calls the rest."""
    stream = frame(TEXT, b"a") + frame(PING) + frame(BINARY, bytes(300)) + frame(TEXT, b"b", final=False)
    stream += frame(PONG) + frame(CONT, b"c") + frame(CLOSE)
    expected = ["a", PingReceived(b""), bytes(300), PongReceived(b""), "bc", CloseReceived(1005, "")]
    assert reader.feed(stream, limit) == expected[:limit]
    assert reader.has_more is (limit < len(expected))
    assert reader.feed(b"") == expected[limit:]
    assert reader.has_more is False


@pytest.mark.parametrize("opcode", [TEXT, PING])
@pytest.mark.parametrize("size", [0, 125])
def test_limit_that_is_just_reached_leaves_nothing(
    reader: FrameReader, frame: Build, opcode: int, size: int
) -> None:
    """A limit that the last whole frame reaches leaves nothing to go on with."""
    for stream in (frame(opcode, bytes(size)), frame(TEXT, final=False) + frame(CONT, bytes(size))):
        assert len(reader.feed(stream, 1)) == 1
        assert (reader.has_more, reader.unfinished) == (False, 0)


@pytest.mark.parametrize("count", [1, 3, 14])
@pytest.mark.parametrize("limit", [1, 64])
def test_part_of_a_frame_is_not_more(reader: FrameReader, frame: Build, count: int, limit: int) -> None:
    """A frame that has not come whole is nothing to go on with: asking again and again must end."""
    part = frame(BINARY, bytes(70_000))[:count]
    assert reader.feed(part, limit) == []
    assert reader.has_more is False
    reader = FrameReader(LIMIT, 100)
    assert reader.feed(frame(TEXT, b"a") + part, 1) == ["a"]
    assert reader.has_more is True
    assert reader.feed(b"", limit) == []
    assert reader.has_more is False
    assert reader.unfinished != 0


def test_bytes_that_come_during_a_limit_queue_up(reader: FrameReader, frame: Build) -> None:
    """Reads that come while the limit is used up are kept in order behind what is left."""
    for text in (b"a", b"b", b"c"):
        assert reader.feed(frame(TEXT, text), 0) == []
        assert reader.has_more is True
    assert reader.feed(frame(TEXT, b"d"), 2) == ["a", "b"]
    assert reader.feed(b"", 2) == ["c", "d"]
    assert reader.has_more is False


def test_what_the_limit_leaves_is_not_unfinished(reader: FrameReader, frame: Build) -> None:
    """Bytes that the gateway itself leaves lying do not run into the peer's deadline."""
    stream = frame(TEXT, b"a") * 3
    assert reader.feed(stream, 1) == ["a"]
    assert reader.unfinished == 0
    reader.feed(frame(TEXT, b"b")[:3], 0)
    assert reader.unfinished == 0
    assert reader.feed(b"") == ["a", "a"]
    assert reader.unfinished != 0


def test_violation_waits_for_its_turn(reader: FrameReader, frame: Build) -> None:
    """A limit postpones a violation like any event, and nothing is left after it."""
    assert reader.feed(frame(TEXT, b"a") + frame(TEXT, b"b", reserved=4) + frame(TEXT, b"c"), 1) == ["a"]
    assert reader.has_more is True
    assert [type(event) for event in reader.feed(b"", 1)] == [Violation]
    assert reader.has_more is False


@pytest.mark.parametrize("opcode", [BINARY, PING, PONG])
def test_payload_that_looks_like_a_frame(frame: Build, opcode: int) -> None:
    """Bytes of a payload are never read as a frame, wherever a read begins in them."""
    inner = frame(TEXT, b"inner") * 2
    # Masked twice it stands on the wire as it is.
    payload = frame(BINARY, inner)[6:]
    stream = frame(opcode, payload)
    assert stream.endswith(inner)
    for cut in range(len(stream)):
        reader = FrameReader(LIMIT, 100)
        events = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        assert events == [{BINARY: bytes, PING: PingReceived, PONG: PongReceived}[Opcode(opcode)](payload)]


# Memory.


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.usefixtures("_traced")
def test_memory_is_in_proportion_to_what_has_come(reader: FrameReader, frame: Build, opcode: int) -> None:
    """A frame that declares the limit takes memory for the bytes that came of it, a byte at a time too."""
    data = frame(opcode, b"a" * LIMIT)
    meter = Meter()
    reader.feed(data[:14])
    assert meter.peak < CONSTANT
    for at in range(14, 10_014):
        reader.feed(data[at : at + 1])
    assert 10_000 <= meter.held <= meter.peak < 10_000 * 9 // 8 + CONSTANT
    assert reader.unfinished != 0


@pytest.mark.usefixtures("_traced")
def test_memory_stays_within_the_limit(frame: Build) -> None:
    """A peer that never ends its message holds its limit in memory and a constant, and no more."""
    reader = FrameReader(10_000, 1000)
    part = frame(CONT, bytes(100), final=False)
    meter = Meter()
    reader.feed(frame(BINARY, final=False))
    for _ in range(100):
        assert reader.feed(part + frame(PING)) == [PingReceived(b"")]
    assert meter.peak < 10_000 * 9 // 8 + CONSTANT
    assert reader.feed(part)[0][0] == 1009
    assert meter.held < CONSTANT


@pytest.mark.usefixtures("_traced")
def test_empty_fragments_take_no_memory(frame: Build) -> None:
    """Fragments without a payload are counted, not kept."""
    reader = FrameReader(LIMIT, 10_000)
    reader.feed(frame(TEXT, final=False))
    part = frame(CONT, final=False)
    meter = Meter()
    for _ in range(5_000):
        assert reader.feed(part) == []
    assert meter.peak < CONSTANT


@pytest.mark.parametrize(
    "step", [1 << 21, 65_536, 1_000], ids=["in one read", "in large reads", "in small reads"]
)
@pytest.mark.parametrize("fragments", [1, 10])
@pytest.mark.usefixtures("_traced")
def test_no_buffer_stays_big(reader: FrameReader, frame: Build, step: int, fragments: int) -> None:
    """After a big message the reader is as small as before, also with the start of the next one in it."""
    meter = Meter()
    for tail in (b"", b"\x81", frame(TEXT, bytes(10))[:9]):
        size = LIMIT // fragments
        for index in range(fragments):
            data = frame(CONT if index else TEXT, bytes(size), final=index == fragments - 1)
            if index == fragments - 1:
                data += tail
            for piece in chunks(data, step):
                events = reader.feed(piece)
        assert [len(event) for event in events] == [size * fragments]
        del data, piece, events
        assert meter.held < CONSTANT
        reader.feed(frame(TEXT, bytes(10))[len(tail) :])


@pytest.mark.parametrize("end", [b"\x88\x80\0\0\0\0", b"\xf1"], ids=["close", "violation"])
@pytest.mark.usefixtures("_traced")
def test_nothing_is_kept_after_the_end(reader: FrameReader, frame: Build, end: bytes) -> None:
    """A close or a violation frees what had come of a message, and later bytes are not kept."""
    meter = Meter()
    reader.feed(frame(BINARY, bytes(500_000), final=False))
    reader.feed(end + b"\0")
    for _ in range(10):
        reader.feed(bytes(100_000))
    assert meter.held < CONSTANT
