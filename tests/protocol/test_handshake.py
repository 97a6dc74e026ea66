from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.handshake import (
    check_handshake,
    choose_subprotocol,
    encode_acceptance,
    wants_websocket,
)
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.head import RequestHead

    Head = Callable[..., RequestHead]
    Changes = dict[str, Sequence[str] | None]

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def attempt(check: Callable[[], Any]) -> Any:
    """Give what a check gives, or its refusal."""
    try:
        return check()
    except Refused as refused:
        return refused


def error_of(check: Callable[[], Any]) -> str:
    """Give the code with which a check refuses."""
    with pytest.raises(Refused) as caught:
        check()
    return caught.value.refusal.error


def test_sample_of_the_rfc(head: Head) -> None:
    """The sample handshake of RFC 6455 is accepted with the sample's value."""
    assert check_handshake(head()) == ACCEPT


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": ["WebSocket"]},
        {"Upgrade": ["h2c, websocket"]},
        {"Upgrade": ["h2c", "websocket"]},
        {"Connection": ["keep-alive, Upgrade"]},
        {"Connection": ["UPGRADE"]},
        {"Connection": [",keep-alive ,\tuPGRADE,"]},
        {"Connection": ["keep-alive", "upgrade"]},
        {"Host": ["LOCALHOST:8000"]},
        {"Host": ["[::1]:8000"]},
        {"Content-Length": ["0"]},
        {"Origin": ["null"]},
        {"Cookie": ["a=é"]},
        {"Sec-WebSocket-Key": [b64encode(bytes(16)).decode()], "X": ["1", "2"]},
        {"Sec-WebSocket-Extensions": ['permessage-deflate; client_max_window_bits=7, x; y="z']},
        {"Sec-WebSocket-Protocol": ["chat, superchat"]},
    ],
)  # fmt: skip
def test_good_handshake(head: Head, changes: Changes) -> None:
    """What browsers and libraries send is accepted, in odd case and order too."""
    check_handshake(head(changes))


@pytest.mark.parametrize(
    ("start", "error"),
    [
        *[
            (f"{method} / HTTP/1.1", "method_not_allowed")
            for method in (
                "POST",
                "HEAD",
                "PUT",
                "DELETE",
                "OPTIONS",
                "CONNECT",
                "TRACE",
                "get",
                "Get",
                "GETS",
            )
        ],
        ("GET / HTTP/1.0", "http_version"),
        ("GET / HTTP/0.9", "http_version"),
        ("GET / HTTP/2.0", "http_version"),
        ("POST / HTTP/1.0", "method_not_allowed"),
    ],
)
def test_bad_request_line(head: Head, start: str, error: str) -> None:
    """Another method than GET, or another version than 1.1, is refused."""
    assert error_of(lambda: check_handshake(head(start=start))) == error


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
NOT_ASCII = ["é", "websocket\xa0", "\xff" * 8, ["https://a.example", "https://é.example"]]

# By field and refusal, what the field may not be: missing, one value, or several.
# fmt: off
BAD_FIELDS: dict[tuple[str, str], list[str | list[str] | None]] = {
    ("Host", "bad_host"): [
        None, ["a", "a"], ["a", "b"], "", "a b", "a,b", "u@a", "a/b", "a:", "a:0", "a:65536", "a:x", "a\tb",
        "[::1", "[:::]", "::1", "é.example", "http://a", "a" * 300,
    ],
    ("Origin", "malformed_request"): NOT_ASCII,
    ("Upgrade", "malformed_request"): NOT_ASCII,
    ("Connection", "malformed_request"): NOT_ASCII,
    ("Sec-WebSocket-Key", "malformed_request"): NOT_ASCII,
    ("Sec-WebSocket-Version", "malformed_request"): NOT_ASCII,
    ("Sec-WebSocket-Protocol", "malformed_request"): NOT_ASCII,
    ("Sec-WebSocket-Extensions", "malformed_request"): NOT_ASCII,
    ("Content-Length", "body_not_allowed"): ["1", "5", ["0", "5"], "0, 5", "-1", "+0", "00", "", "x", "0x0"],
    ("Transfer-Encoding", "body_not_allowed"): ["chunked", "identity", "", "gzip, chunked", "xchunked"],
    ("Upgrade", "upgrade_required"): [
        None, "", "h2c", "websockets", "web socket", "websocket/13", '"websocket"',
    ],
    ("Connection", "bad_connection"): [
        None, "", "keep-alive", "close", "upgraded", "keep-alive Upgrade", "up, grade",
    ],
    ("Sec-WebSocket-Version", "unsupported_version"): [
        None, "", "8", "0", "12", "14", "113", "013", "+13", "13.0", "13, 8", "13, 13",
        ["13", "13"], ["13", "8"],
    ],
    ("Sec-WebSocket-Key", "bad_key"): [
        None, "", [KEY, KEY], f"{KEY}, {KEY}", KEY[:-1], KEY[:-2], f"{KEY}=", f"={KEY}", "=====",
        "no base64!",
        "dGhlIHNh bXBsZSBub25jZQ==", "dGhl=HNhbXBsZSBub25jZQ==", "____________________--==",
        *(b64encode(bytes(size)).decode() for size in (15, 17, 32, 4500)),
    ],
}
# fmt: on


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({name: [value] if isinstance(value, str) else value}, error)
        for (name, error), values in BAD_FIELDS.items()
        for value in values
    ],
)
def test_bad_field(head: Head, changes: Changes, error: str) -> None:
    """A field that is missing, doubled or wrong is refused with the code of its rule."""
    assert error_of(lambda: check_handshake(head(changes))) == error


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (None, False),
        ([""], False),
        (["h2c"], False),
        (["websocket"], True),
        (["WebSocket"], True),
        (["h2c, websocket"], True),
        (["websocketx"], False),
    ],
)
def test_what_wants_a_websocket(head: Head, values: list[str] | None, wanted: bool) -> None:
    """A request asks for a WebSocket by its Upgrade field alone, whatever else is wrong with it."""
    assert wants_websocket(head({"Upgrade": values, "Connection": None}, start="POST / HTTP/1.0")) is wanted


@pytest.mark.parametrize(
    ("offer", "supported", "chosen"),
    [
        (None, [], None),
        (None, ["a"], None),
        (["a"], [], None),
        (["a"], ["a"], "a"),
        (["b, a"], ["a", "b"], "a"),
        (["b", "a"], ["a", "b"], "a"),
        (["b,\ta ,"], ["c", "b"], "b"),
        (["A"], ["a"], None),
        (["a b, ab"], ["a", "b"], None),
        (['"a"'], ["a"], None),
        (["bearer.x, a"], ["a"], "a"),
        (["a;q=1"], ["a"], None),
    ],
)
def test_subprotocol(head: Head, offer: list[str] | None, supported: list[str], chosen: str | None) -> None:
    """The first of the route's subprotocols that was offered is chosen; where one is required, it must be."""
    request = head({"Sec-WebSocket-Protocol": offer})
    assert choose_subprotocol(request, supported, required=False) == chosen
    if chosen is None:
        assert (
            error_of(lambda: choose_subprotocol(request, supported, required=True)) == "unknown_subprotocol"
        )
    else:
        assert choose_subprotocol(request, supported, required=True) == chosen


@pytest.mark.parametrize(
    ("subprotocol", "fields"), [(None, {}), ("chat.v1", {"sec-websocket-protocol": "chat.v1"})]
)
def test_acceptance(subprotocol: str | None, fields: dict[str, str]) -> None:
    """The answer is a 101 with just the fields that RFC 6455 asks for: nothing is negotiated unasked."""
    data = encode_acceptance(ACCEPT, subprotocol)
    assert data.endswith(b"\r\n\r\n")
    status, *lines = data.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert {name.lower(): value for name, value in (line.split(": ") for line in lines)} == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": ACCEPT,
        **fields,
    }


values = st.lists(
    st.sampled_from(["a", "b", ",", " ", '"', ":", ";", "=", "é", "websocket", "upgrade", "13", "\t", "0"]),
    max_size=9,
).map("".join)
names = st.sampled_from(
    ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol",
     "Content-Length", "Origin"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(names, st.none() | st.lists(values, max_size=2), max_size=4), st.booleans())
def test_any_fields_are_accepted_or_refused(head: Head, changes: Changes, required: bool) -> None:
    """Any fields give an answer or a refusal of the client's fault, and nothing else."""
    request = head(changes)
    accept = attempt(lambda: check_handshake(request))
    assert accept.refusal.status in {400, 426} if isinstance(accept, Refused) else len(accept) == 28
    chosen = attempt(lambda: choose_subprotocol(request, ["a", "b"], required=required))
    if isinstance(chosen, Refused):
        assert (chosen.refusal.error, required) == ("unknown_subprotocol", True)
    else:
        assert chosen in ({"a", "b"} if required else {"a", "b", None})


@pytest.mark.parametrize(
    "unit", [",", " ", '"', ":", "a,", ", ", '",', ";=", "permessage-deflate;x=,", "a, b:"]
)
@pytest.mark.parametrize(
    "name", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Connection", "Upgrade"]
)
def test_hostile_offer_costs_in_proportion(
    head: Head, calls: Callable[[Callable[[], object]], int], name: str, unit: str
) -> None:
    """8 KiB of separators are declined at a few calls for each byte; twice as much costs twice at most."""

    def cost(size: int) -> int:
        request = head({name: [unit * (size // len(unit))]})

        def work() -> None:
            assert wants_websocket(request) is (name != "Upgrade")
            accept = attempt(lambda: check_handshake(request))
            assert isinstance(accept, Refused) is (name in {"Connection", "Upgrade"})
            assert choose_subprotocol(request, ["chat"], required=False) is None

        return calls(work)

    assert cost(8_192) <= 2 * cost(4_096) + 100
    assert cost(8_192) < 6 * 8_192
