"""What the tests of the protocol room share: frames and heads, legal or not, and a meter of work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway.protocol.head import RequestHead, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MASK = b"\x37\xfa\x21\x3d"
HEAD = {
    "Host": ["example.com"],
    "Upgrade": ["websocket"],
    "Connection": ["Upgrade"],
    "Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ=="],
    "Sec-WebSocket-Version": ["13"],
}


def build_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    width: int | None = None,
    declared: int | None = None,
) -> bytes:
    """Build a frame byte by byte, so that it may break any rule.

    Args:
        opcode: Four bits.
        payload: Before masking.
        final: The bit FIN.
        reserved: The bits RSV1 to RSV3 as the number 0 to 7.
        masked: Whether there is a masking key.
        width: Bytes after the second that hold the length: 0, 2 or 8. Default: as few as can hold it.
        declared: The length that is written. Default: the payload's.
    """
    length = len(payload) if declared is None else declared
    if width is None:
        width = 0 if length < 126 else 2 if length < 65536 else 8
    second = {0: length, 2: 126, 8: 127}[width] | masked << 7
    header = bytes((final << 7 | reserved << 4 | opcode, second)) + length.to_bytes(8)[8 - width :]
    if not masked:
        return header + payload
    key = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    masked_payload = int.from_bytes(payload) ^ int.from_bytes(key)
    return header + MASK + masked_payload.to_bytes(len(payload))


def build_head(
    changes: Mapping[str, Sequence[str] | None] | None = None, *, start: str = "GET / HTTP/1.1"
) -> RequestHead:
    """Build the head of an opening handshake; a change gives a field other values, or none."""
    fields: dict[str, Sequence[str] | None] = {**HEAD, **(changes or {})}
    lines = [f"{name}: {value}" for name, values in fields.items() for value in values or ()]
    return parse_head("\r\n".join((start, *lines)).encode("latin-1"), max_lines=100)


def count_calls(work: Callable[[], Any]) -> int:
    """Count the calls, into Python and into C, that some work makes: its cost without a clock."""
    calls = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal calls
        if event in {"call", "c_call"}:
            calls += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.fixture(scope="session")
def frame() -> Callable[..., bytes]:
    """The builder of frames."""
    return build_frame


@pytest.fixture(scope="session")
def head() -> Callable[..., RequestHead]:
    """The builder of opening handshakes."""
    return build_head


@pytest.fixture(scope="session")
def calls() -> Callable[[Callable[[], Any]], int]:
    """The meter of work."""
    return count_calls
