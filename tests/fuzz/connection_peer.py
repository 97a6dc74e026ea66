"""The peer of the modelled connection: what it may send, and what it has read."""

from __future__ import annotations

from typing import Any, NamedTuple

from connection_model import Event
from connection_probe import CALM, FINAL
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode


class Piece(NamedTuple):
    """Bytes of the peer; their event is known once `decides` of them are there."""

    wire: bytes
    event: Event | None
    decides: int
    item: int


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Build a masked frame."""
    return Frame(Opcode(opcode), payload, final).serialize(mask=True)


def close_body(code: int) -> bytes:
    """Build a close frame's body; 1005 stands for none."""
    return b"" if code == 1005 else code.to_bytes(2) + b"bye"


VIOLATIONS = [
    (b"\x81\x01a", 1002, 2),
    (b"\xc1\x80\x00\x00\x00\x00", 1002, 2),
    (b"\x83\x80\x00\x00\x00\x00", 1002, 2),
    (b"\x80\x80\x00\x00\x00\x00", 1002, 2),
    (b"\x81\xfe\x00\x01", 1002, 4),
    (b"\x82\xfe\x01\x2d", 1009, 4),
    (b"\x81\x82\x00\x00\x00\x00a\xff", 1007, 8),
    (b"\x88\x82\x00\x00\x00\x00\x03\xed", 1002, 8),
    (b"".join(frame(0 if index else 1, b"x", final=False) for index in range(4)), 1008, 23),
]


def messages(deeds: tuple[str, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Give messages that make the handler do a deed: binary or text, in one to three frames, with pings."""
    return st.tuples(
        st.just("message"), st.sampled_from(deeds), st.booleans(), st.integers(1, 3), st.booleans()
    )


usual = st.one_of(messages(CALM), messages(CALM), st.tuples(st.sampled_from(("ping", "pong"))))
final = st.one_of(
    messages(FINAL),
    st.tuples(st.just("close"), st.sampled_from((1000, 1005, 3000))),
    st.tuples(st.just("violation"), st.sampled_from(VIOLATIONS)),
)


def make_pieces(item: tuple[Any, ...], serial: int) -> list[Piece]:
    """Give the bytes of an item and what they mean."""
    kind, *rest = item
    if kind in {"ping", "pong"}:
        parts = [(frame(9 if kind == "ping" else 10, b"%d" % serial), Event(kind, b"%d" % serial), 0)]
    elif kind == "close":
        parts = [(frame(8, close_body(rest[0])), Event(kind, rest[0]), 0)]
    elif kind == "violation":
        wire, code, decides = rest[0]
        parts = [(wire, Event(kind, code), decides)]
    else:
        deed, binary, count, pinged = rest
        payload = f"{serial} {deed}".encode()
        value = payload if binary else payload.decode()
        parts = []
        for index in range(count):
            if index and pinged:
                parts.append((frame(9, b"within"), Event("ping", b"within"), 0))
            last = index == count - 1
            part = payload[index:] if last else payload[index : index + 1]
            opcode = 0 if index else 1 + binary
            parts.append((frame(opcode, part, final=last), Event(kind, value) if last else None, 0))
    return [Piece(wire, event, decides or len(wire), serial) for wire, event, decides in parts]


def take_apart(wire: bytes) -> tuple[list[bytes], list[bytes], list[int]]:
    """Give the messages, the pongs' payloads and the close codes that were read; 1005 stands for no code.

    Raises:
        AssertionError: If a frame is not legal, or follows a close frame.
    """
    data: list[bytes] = []
    pongs: list[bytes] = []
    closes: list[int] = []
    at = 0
    while at + 2 <= len(wire):
        length, start = wire[at + 1], at + 2
        assert wire[at] in {0x81, 0x82, 0x88, 0x89, 0x8A}, "no legal frame"
        if length == 126:
            length, start = int.from_bytes(wire[start : start + 2]), start + 2
        payload = wire[start : start + length]
        if len(payload) < length:
            break
        assert not closes, "written after our close frame"
        if wire[at] == 0x88:
            closes.append(int.from_bytes(payload[:2]) if payload else 1005)
        elif wire[at] == 0x8A:
            pongs.append(payload)
        elif wire[at] != 0x89:
            data.append(payload)
        at = start + length
    return data, pongs, closes
