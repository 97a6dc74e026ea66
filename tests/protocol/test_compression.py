"""Tests of permessage-deflate: what is agreed on, and that inflating stays within its limit."""

from __future__ import annotations

import os
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.compression import CompressionPolicy, Deflater, Inflater, Parameters
from gateway.protocol.encoding import encode_deflated
from gateway.protocol.events import Violation
from gateway.protocol.frames import FrameReader
from gateway.protocol.masking import apply_mask

MASK = b"\x01\x02\x03\x04"


def policy(
    *, server_takeover: bool = True, client_takeover: bool = True, server: int = 15, client: int = 15
) -> CompressionPolicy:
    """Give a policy that agrees to everything unless told otherwise."""
    return CompressionPolicy(
        server_takeover=server_takeover,
        client_takeover=client_takeover,
        server_window_bits=server,
        client_window_bits=client,
    )


def deflater(*, takeover: bool = False, bits: int = 15) -> Deflater:
    """Give a deflater."""
    return Deflater(takeover=takeover, window_bits=bits, level=6, memory_level=8)


def frame(first: int, payload: bytes) -> bytes:
    """Give a masked frame with any first byte."""
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + length.to_bytes(8, "big")
    return head + MASK + apply_mask(payload, MASK)


def reader(limit: int = 1000, *, takeover: bool = False) -> FrameReader:
    """Give a reader that takes compressed messages."""
    return FrameReader(limit, 16, Inflater(takeover=takeover, window_bits=15))


ALL = Parameters(True, True, 15, 15)

AGREEMENTS = {
    "permessage-deflate": ("permessage-deflate", ALL),
    "permessage-deflate; client_max_window_bits": ("permessage-deflate", ALL),
    "permessage-deflate; client_max_window_bits=10": (
        "permessage-deflate; client_max_window_bits=10",
        ALL._replace(client_window_bits=10),
    ),
    "permessage-deflate; server_max_window_bits=10": (
        "permessage-deflate; server_max_window_bits=10",
        ALL._replace(server_window_bits=10),
    ),
    "permessage-deflate; server_no_context_takeover": (
        "permessage-deflate; server_no_context_takeover",
        ALL._replace(server_takeover=False),
    ),
    "permessage-deflate; client_no_context_takeover": (
        "permessage-deflate; client_no_context_takeover",
        ALL._replace(client_takeover=False),
    ),
    # zlib has no window of 8 bits, so this offer is passed over and the next one taken.
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": ("permessage-deflate", ALL),
    "x-unknown, permessage-deflate": ("permessage-deflate", ALL),
}


@pytest.mark.parametrize("offer", AGREEMENTS)
def test_agreement(offer: str) -> None:
    """The first offer that can be met is taken, with its parameters."""
    assert policy().agree([offer]) == AGREEMENTS[offer]


def test_a_policys_own_wishes_are_answered() -> None:
    """Contexts that the route does not keep, and smaller windows, are told to the client."""
    wish = policy(server_takeover=False, client_takeover=False, server=9, client=11)
    answer, parameters = wish.agree(["permessage-deflate; client_max_window_bits"])
    assert parameters == Parameters(False, False, 9, 11)
    assert set(answer.split("; ")) == {
        "permessage-deflate",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits=9",
        "client_max_window_bits=11",
    }


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_no_context_takeover=1",
        'permessage-deflate; client_max_window_bits="',
        "permessage-deflate,,,;;;",
        "permessage-deflate" + " " * 8000 + ";",
        "permessage-deflate" + ",permessage-deflate; server_max_window_bits=7" * 180,
        '"' * 8000 + "permessage-deflate",
        "permessage-deflate; " + "é" * 100,
    ],
)
def test_offers_that_are_declined(offer: str) -> None:
    """An offer that is malformed, unknown or out of range is declined without an error."""
    assert policy().agree([offer]) is None


@given(st.text(max_size=300))
def test_no_offer_raises(offer: str) -> None:
    """Whatever a client offers is answered or declined."""
    policy().agree([offer, "permessage-deflate" + offer])


@given(st.lists(st.binary(max_size=3000), max_size=6), st.booleans(), st.integers(9, 15))
def test_what_is_deflated_inflates(messages: list[bytes], takeover: bool, bits: int) -> None:
    """Messages come back, with and without a context, for every window."""
    outgoing = deflater(takeover=takeover, bits=bits)
    incoming = Inflater(takeover=takeover, window_bits=bits)
    for message in messages:
        deflated = outgoing.deflate(message)
        assert incoming.add(deflated, len(message)) + incoming.finish(len(message)) == message


def test_context_makes_alike_messages_short() -> None:
    """With a context the second of two alike messages is much shorter; without one it is not."""
    message = os.urandom(1000)
    keeping, forgetting = deflater(takeover=True), deflater()
    assert len(keeping.deflate(message)) > 10 * len(keeping.deflate(message))
    assert len(forgetting.deflate(message)) == len(forgetting.deflate(message))


@given(st.data())
def test_every_cut_gives_the_same(data: st.DataObject) -> None:
    """Compressed messages, whole or in fragments, give the same events for every way of cutting the bytes."""
    outgoing = deflater()
    wire = b""
    expected: list[str | bytes] = []
    for text in data.draw(st.lists(st.text(max_size=200), min_size=1, max_size=4)):
        deflated = outgoing.deflate(text.encode())
        cut = data.draw(st.integers(0, len(deflated)))
        if data.draw(st.booleans()):
            wire += frame(0xC1, deflated)
        else:
            wire += frame(0x41, deflated[:cut]) + frame(0x89, b"") + frame(0x80, deflated[cut:])
        expected.append(text)
    step = data.draw(st.integers(1, 50))
    whole = reader().feed(wire)
    apart = reader()
    pieces = [event for at in range(0, len(wire), step) for event in apart.feed(wire[at : at + step])]
    assert whole == pieces
    assert [event for event in whole if isinstance(event, str)] == expected


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_the_limit_counts_inflated_bytes(size: int, kind: str) -> None:
    """A message of just the limit passes, also one that compression makes longer; one byte more is 1009."""
    message = bytes(size) if kind == "zeros" else os.urandom(size)
    (event,) = reader(1000).feed(frame(0xC2, deflater().deflate(message)))
    if size == 1000:
        assert event == message
    else:
        assert isinstance(event, Violation)
        assert event.code == CloseCode.MESSAGE_TOO_BIG


def test_bomb_takes_no_memory() -> None:
    """100 MB in 100 KB are refused within a little memory."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(compress.compress(bytes(1 << 20)) for _ in range(100)) + compress.flush(zlib.Z_SYNC_FLUSH)
    wire = frame(0xC2, bomb[:-4])
    bounded = reader(200_000)
    tracemalloc.start()
    (event,) = bounded.feed(wire)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert event.code == CloseCode.MESSAGE_TOO_BIG
    assert peak < 1_500_000


def test_declared_length_over_the_limit_is_judged_by_the_header() -> None:
    """A compressed frame that is longer than anything within the limit is refused before its payload."""
    (event,) = reader(1000).feed(b"\xc2\xfe\x27\x10")
    assert event.code == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x07", b"not deflate"])
def test_garbage_is_1007(garbage: bytes) -> None:
    """Bytes that do not inflate end the connection with 1007."""
    (event,) = reader().feed(frame(0xC1, garbage))
    assert (event.code, type(event)) == (CloseCode.INVALID_DATA, Violation)


def test_text_is_checked_when_inflated() -> None:
    """Compressed text that is not UTF-8 is 1007."""
    (event,) = reader().feed(frame(0xC1, deflater().deflate(b"\xc3\x28")))
    assert event.code == CloseCode.INVALID_DATA


@pytest.mark.parametrize(
    "wire",
    [
        frame(0xC9, b""),  # a ping
        frame(0xC8, b""),  # a close
        frame(0x41, b"") + frame(0xC0, b""),  # a continuation
        frame(0xA1, b""),  # RSV2
        frame(0xE1, b""),  # RSV1 and RSV2
    ],
)
def test_bits_elsewhere_are_1002(wire: bytes) -> None:
    """RSV1 belongs to the first frame of a message, and the other bits to nothing."""
    event = reader().feed(wire)[-1]
    assert event.code == CloseCode.PROTOCOL_ERROR


def test_bit_without_an_agreement_is_1002() -> None:
    """Without the extension a compressed message is a protocol error."""
    (event,) = FrameReader(1000, 16).feed(frame(0xC1, b""))
    assert event.code == CloseCode.PROTOCOL_ERROR


def test_plain_and_compressed_messages_may_alternate() -> None:
    """A message without RSV1 is taken as it is."""
    outgoing = deflater()
    wire = b"".join(
        frame(0xC1, outgoing.deflate(text)) + frame(0x81, text) for text in (b"a" * 200, b"", b"b" * 200)
    )
    expected = [text for text in ("a" * 200, "", "b" * 200) for _ in range(2)]
    assert reader().feed(wire) == expected


def test_block_that_says_it_is_the_last() -> None:
    """A message whose deflate stream ends with BFINAL is taken, and so is the next (RFC 7692 7.2.3.4)."""
    compress = zlib.compressobj(6, zlib.DEFLATED, -15)
    ended = compress.compress(b"Hello") + compress.flush(zlib.Z_FINISH) + b"\x00"
    patient = reader(takeover=True)
    assert patient.feed(frame(0xC1, ended)) == ["Hello"]
    assert patient.feed(frame(0xC1, deflater().deflate(b"again"))) == ["again"]


def test_no_window_is_kept_between_messages_without_takeover() -> None:
    """An idle connection without a context holds no inflater's window."""
    incoming = Inflater(takeover=False, window_bits=15)
    incoming.add(deflater().deflate(b"x" * 1000), 1000)
    incoming.finish(1000)
    assert incoming._inflate is None
    assert sys.getsizeof(incoming) < 100


def test_frame_of_a_compressed_message() -> None:
    """The first byte has RSV1 besides the opcode, and the length is that of the deflated form."""
    assert encode_deflated(b"abc", is_text=True) == b"\xc1\x03abc"
    assert encode_deflated(b"x" * 300, is_text=False)[:4] == b"\xc2\x7e\x01\x2c"
