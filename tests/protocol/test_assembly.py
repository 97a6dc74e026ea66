from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.assembly import Assembly, PartialFrame
from gateway.protocol.frames import FrameReader
from gateway.protocol.masking import apply_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = b"\x12\x34\x56\x78"


def begin(size: int) -> PartialFrame:
    """Give a binary frame of which the reader has the header only."""
    reader = FrameReader(125, 1)
    reader.feed(bytes((0x82, 0x80 | size)) + MASK)
    assert reader._frame is not None
    return reader._frame


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=8).filter(any))
def test_unmasking_goes_on_where_it_stopped(chunks: Sequence[bytes]) -> None:
    """A payload unmasked piece by piece, empty pieces too, is the payload unmasked whole."""
    whole = b"".join(chunks)
    frame = begin(len(whole))
    assert b"".join(frame.unmask(chunk) for chunk in chunks) == apply_mask(whole, MASK)
    assert frame.remaining == 0


def test_remaining_counts_down() -> None:
    """A frame knows how many bytes of its payload have not come."""
    frame = begin(10)
    frame.unmask(b"abc")
    assert frame.remaining == 7


def test_binary_is_put_together() -> None:
    """Binary payloads come out as `bytes`, whatever they hold."""
    assembly = Assembly(is_text=False)
    for chunk in (b"\xff", b"", b"\xed\xa0", b"a"):
        assembly.add(chunk)
    assert assembly.finish() == b"\xff\xed\xa0a"
    assert type(assembly.finish()) is bytes


@settings(deadline=None)
@given(st.text(max_size=6), st.lists(st.integers(0, 24), max_size=4))
def test_text_is_put_together(text: str, cuts: list[int]) -> None:
    """Text cut within its characters comes out as `str`."""
    data = text.encode()
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assembly = Assembly(is_text=True)
    for begin, end in pairwise(ends):
        assembly.add(data[begin:end])
    assert assembly.finish() == text


@pytest.mark.parametrize(
    "chunks",
    [(b"a\xff",), (b"\xc3", b"\x28"), (b"\xed\xa0",), (b"\xed", b"\xbf"), (b"a\xed", b"", b"\xa0")],
)
def test_bad_text_is_refused_at_once(chunks: Sequence[bytes]) -> None:
    """The chunk with the first bad byte is refused, surrogates by their second byte."""
    assembly = Assembly(is_text=True)
    for chunk in chunks[:-1]:
        assembly.add(chunk)
    with pytest.raises(UnicodeDecodeError):
        assembly.add(chunks[-1])


def test_text_that_ends_within_a_character_is_refused() -> None:
    """The beginning of a character is accepted until the text ends with it."""
    assembly = Assembly(is_text=True)
    assembly.add(b"\xf0\x9f")
    with pytest.raises(UnicodeDecodeError):
        assembly.finish()
    assembly.add(b"\x98\x80")
    assert assembly.finish() == "😀"


def test_fresh_assembly_counts_nothing() -> None:
    """The reader's counts begin at 0."""
    assembly = Assembly(is_text=True)
    assert (assembly.fragments, assembly.serial, assembly.finish()) == (0, 0, "")
