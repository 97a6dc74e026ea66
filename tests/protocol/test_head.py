from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.head import RequestHead, parse_head
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

START = b"GET /chat HTTP/1.1\r\n"


def read(raw: bytes, max_lines: int) -> RequestHead | Refused:
    """Give a head, or its refusal."""
    try:
        return parse_head(raw, max_lines=max_lines)
    except Refused as refused:
        return refused


def error_of(raw: bytes, max_lines: int = 100) -> str:
    """Give the code with which a head is refused."""
    with pytest.raises(Refused) as caught:
        parse_head(raw, max_lines=max_lines)
    return caught.value.refusal.error


def test_head_is_taken_apart() -> None:
    """A head gives its line and its fields, names in lower case, values without the space around them."""
    raw = (
        START + b"Host: example.com\r\nX-Empty:\r\nX-Space: \t a\tb  c \t\r\nx-latin:\xe9\r\nCookie: a=1;b=:2"
    )
    head = parse_head(raw, max_lines=5)
    assert (head.method, head.target, head.version, head.raw) == ("GET", "/chat", "1.1", raw)
    assert head.fields == {
        "host": ["example.com"],
        "x-empty": [""],
        "x-space": ["a\tb  c"],
        "x-latin": ["é"],
        "cookie": ["a=1;b=:2"],
    }


def test_head_without_fields() -> None:
    """A head may be its line alone; the method and the version are read and judged elsewhere."""
    head = parse_head(b"brew coffee://pot HTTP/0.9", max_lines=0)
    assert (head.method, head.target, head.version, head.fields) == ("brew", "coffee://pot", "0.9", {})


def test_values_stay_in_order() -> None:
    """A field that comes more than once keeps all values in order, in whatever case its name was."""
    head = parse_head(START + b"A: 1\r\nB: 2\r\na: 3\r\nA: 1", max_lines=9)
    assert head.fields == {"a": ["1", "3", "1"], "b": ["2"]}
    assert (head.get("a"), head.get("b"), head.get("c")) == ("1", "2", None)


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ([], []),
        ([b""], []),
        ([b"keep-alive, Upgrade"], ["keep-alive", "upgrade"]),
        ([b"UPGRADE"], ["upgrade"]),
        ([b"a,,b", b", ,\t,", b"c , D\t,"], ["a", "b", "c", "d"]),
        ([b"a b,c"], ["a b", "c"]),
    ],
)
def test_tokens_of_a_list(values: list[bytes], tokens: list[str]) -> None:
    """A list-valued field gives its elements over all values, in lower case, without empty ones."""
    head = parse_head(
        START + b"\r\n".join(b"Connection: " + value for value in [*values, b"end"]), max_lines=9
    )
    assert head.tokens("connection") == [*tokens, "end"]
    assert head.tokens("missing") == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / HTTP/1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.10",
        b"GET / http/1.1",
        b"GET / HTTPS/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r",
        b"G(T / HTTP/1.1",
        b"G\xc9T / HTTP/1.1",
        b"X" * 33 + b" / HTTP/1.1",
        b"\x16\x03\x01\x02",
    ],
)
def test_malformed_request_line(line: bytes) -> None:
    """A request line that is not RFC 9112's is refused, with its faults unrepaired."""
    assert error_of(line) == "malformed_request"
    assert error_of(line + b"\r\nHost: example.com") == "malformed_request"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Host : a", id="space before the colon"),
        pytest.param(b"Host\t: a", id="tab before the colon"),
        pytest.param(b" folded", id="obs-fold with a space"),
        pytest.param(b"\tfolded", id="obs-fold with a tab"),
        pytest.param(b" Host: a", id="space before the name"),
        pytest.param(b"Host", id="no colon"),
        pytest.param(b": a", id="no name"),
        pytest.param(b"", id="empty line"),
        pytest.param(b"X: a\nHost: b", id="bare LF"),
        pytest.param(b"X: a\rHost: b", id="bare CR"),
        pytest.param(b"X: a\r", id="CR at the end"),
        pytest.param(b"X: a\n", id="LF at the end"),
        pytest.param(b"X: a\0b", id="NUL"),
        pytest.param(b"X: \x1b", id="escape"),
        pytest.param(b"X: \x7f", id="DEL"),
        pytest.param(b"X\0: a", id="NUL in a name"),
        pytest.param(b"X\xe9: a", id="non-ASCII name"),
        pytest.param(b"X(Y): a", id="comment in a name"),
        pytest.param(b"X Y: a", id="space in a name"),
        pytest.param(b'"X": a', id="quoted name"),
    ],
)
def test_malformed_field(line: bytes) -> None:
    """A field line that two readers could read in two ways is refused, wherever it stands."""
    for lines in ([line], [b"Host: a", line], [line, b"Host: a"]):
        assert error_of(START + b"\r\n".join(lines)) == "malformed_request"


def test_too_many_lines() -> None:
    """The line over the limit refuses the head, before any other fault in it is looked for."""
    lines = [b"X: %d" % number for number in range(100)]
    assert len(parse_head(START + b"\r\n".join(lines), max_lines=100).fields["x"]) == 100
    assert error_of(START + b"\r\n".join([*lines, b"Y: 1"])) == "headers_too_large"
    assert error_of(START + b"\r\n".join([*lines, b"\0"])) == "headers_too_large"


pieces = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: a",
        b":",
        b" ",
        b"\t",
        b"\0",
        b"\xff",
        b"X",
        b"\r\n\r\n",
        b",",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(pieces | st.binary(max_size=4), max_size=12).map(b"".join), st.booleans(), st.integers(0, 5))
def test_any_bytes_are_read_or_refused(raw: bytes, begun: bool, max_lines: int) -> None:
    """Any bytes give a head whose parts are clean, or one of two refusals, and nothing else."""
    raw = START + raw if begun else raw
    head = read(raw, max_lines)
    if isinstance(head, Refused):
        assert head.refusal.error in {"malformed_request", "headers_too_large"}
        return
    assert head.raw == raw
    assert sum(len(values) for values in head.fields.values()) == raw.count(b"\r\n") <= max_lines
    for name, values in head.fields.items():
        assert name == name.lower() != ""
        assert (
            all(value == value.strip(" \t") and value.replace("\t", " ").isprintable() for value in values)
            or not raw.isascii()
        )
        assert not set("".join(values)) & set("\r\n\0")


@pytest.mark.parametrize("character", [b",", b" ", b'"', b":", b"a,", b", ", b"\xff", b"X:\r\n", b"\r\n"])
@pytest.mark.parametrize("name", [b"Connection", b"Sec-WebSocket-Extensions"])
def test_hostile_head_costs_in_proportion(
    calls: Callable[[Callable[[], object]], int], character: bytes, name: bytes
) -> None:
    """8 KiB of anything is read at a few calls for each byte, and twice as much costs twice at most."""

    def cost(size: int) -> int:
        raw = START + name + b": " + character * (size // len(character))

        def work() -> None:
            head = read(raw, max_lines=10_000)
            if isinstance(head, RequestHead):
                head.tokens(name.decode().lower())

        return calls(work)

    assert cost(8_192) <= 2 * cost(4_096) + 100
    assert cost(8_192) < 4 * 8_192
