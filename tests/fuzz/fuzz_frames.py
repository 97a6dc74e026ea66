"""The fuzz target of all that reads a stranger's bytes: frames, and opening handshakes.

Run as a program it hands `check` to atheris, whose arguments are those of libFuzzer. `test_corpus.py` calls
`check` for every file of the corpus, without atheris.
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = (65_536, 1_000, 126, 125, 60, 7, 1)
FRAGMENTS = (1_024, 3, 1)
HEADER_BYTES = 14  # the longest header of a frame (RFC 6455 section 5.2)
VIOLATIONS = {1002, 1007, 1008, 1009}
SUBPROTOCOLS = ("chat.v2", "chat.v1")
ORIGINS = (None, ("*",), ("https://example.com", "https://*.example.com", "http://[::1]:8080"))


def check(data: bytes) -> None:
    """Judge one input: `H` and the head of a request, or anything else and three bytes of choices and frames.

    Raises:
        AssertionError: If a promise is broken; any other exception of the code under test is a defect too.
    """
    if data[:1] == b"H":
        check_head(data[1:])
    elif len(data) > 3:
        check_frames(data[1], data[2], data[3:])


# Frames.


def check_frames(choice: int, seed: int, stream: bytes) -> None:
    """Read frames whole, byte by byte, and cut at random: the events are the same, the memory is bounded."""
    from gateway.protocol.compression import Inflater  # noqa: PLC0415 - after the instrumentation
    from gateway.protocol.frames import FrameReader  # noqa: PLC0415

    choice, limit_index = divmod(choice, len(LIMITS))
    choice, fragments_index = divmod(choice, len(FRAGMENTS))
    limit = LIMITS[limit_index]

    def read(cuts: list[int], most: int | None) -> list[Any]:
        inflater = None
        if choice:
            inflater = Inflater(takeover=choice % 2 == 0, window_bits=9 if choice % 3 == 0 else 15)
        reader = FrameReader(limit, FRAGMENTS[fragments_index], inflater)
        events: list[Any] = []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            events += feed(reader, stream[begin:end], most)
            check_memory(reader, limit)
        assert reader.feed(b"") == []
        check_events(events, limit)
        return [event if type(event).__name__ != "Violation" else event.code for event in events]

    whole = read([], None)
    chosen = random.Random(seed)
    several = sorted(chosen.choices(range(len(stream) + 1), k=chosen.randint(1, 6)))
    assert read(several, chosen.choice((None, 1, 2))) == whole, several
    step = max(1, len(stream) // 300)
    assert read([*range(step, len(stream), step)], None) == whole, "in small pieces"


def feed(reader: Any, data: bytes, most: int | None) -> Iterator[Any]:
    """Feed bytes, and with a limit go on for as long as there is more."""
    if most is None:
        yield from reader.feed(data)
        assert not reader.has_more
        return
    while True:
        events = reader.feed(data, most)
        assert len(events) <= most
        yield from events
        data = b""
        if not reader.has_more:
            return


def check_memory(reader: Any, limit: int) -> None:
    """What is kept of an unfinished frame or message stays within the limit and a constant."""
    kept = len(reader._rest)
    assert kept < HEADER_BYTES
    if reader._frame is not None:
        assert len(reader._frame.head) <= 125
    if reader._assembly is not None:
        assert len(reader._assembly.data) <= limit
    begun = bool(kept) or reader._frame is not None or reader._assembly is not None
    assert (reader.unfinished != 0) == begun


def check_events(events: list[Any], limit: int) -> None:
    """Messages are within the limit, and nothing follows an end."""
    from gateway.protocol.close_codes import may_be_received  # noqa: PLC0415

    for index, event in enumerate(events):
        kind = type(event).__name__
        if kind in {"str", "bytes"}:
            assert len(event.encode() if kind == "str" else event) <= limit
        elif kind in {"PingReceived", "PongReceived"}:
            assert len(event.payload) <= 125
        else:
            assert index == len(events) - 1, "something after the end"
            if kind == "Violation":
                assert event.code in VIOLATIONS
            else:
                assert event.code == 1005 or may_be_received(event.code)
                assert len(event.reason.encode()) <= 123


# The opening handshake.


def check_head(raw: bytes) -> None:
    """Judge an opening handshake as the front and the gate do: it is accepted or refused, and that is all."""
    from gateway.core.request import OpeningRequest  # noqa: PLC0415
    from gateway.protocol.handshake import check_handshake, choose_subprotocol, wants_websocket  # noqa: PLC0415
    from gateway.protocol.head import parse_head  # noqa: PLC0415
    from gateway.protocol.target import parse_target  # noqa: PLC0415

    found: list[Any] = []
    with judged():
        found.append(parse_head(raw, max_lines=100))
    for head in found:
        assert all(isinstance(value, str) for values in head.fields.values() for value in values)
        wants_websocket(head)
        check_lists(head)
        with judged():
            path, query = parse_target(head.target, head.get("host") or "")
            assert path.startswith("/")
            assert not {".", ".."} & {*path.split("/")}
            assert "//" not in path
            assert "\\" not in path
            request = OpeningRequest(head, path)
            assert request.query == query
            assert request.get_all("Host") == head.fields.get("host", [])
            assert set(request.headers) == set(head.fields)
            assert all(isinstance(value, str) for value in request.cookies.values())
            assert all(isinstance(value, list) for value in request.query_params.values())
        with judged():
            accept = check_handshake(head)
            assert len(accept) == 28
            assert accept.isascii()
        for required in (False, True):
            with judged():
                chosen = choose_subprotocol(head, SUBPROTOCOLS, required=required)
                assert chosen in SUBPROTOCOLS or (chosen is None and not required)


def check_lists(head: Any) -> None:
    """Judge what a client offers and where it says that it comes from."""
    from gateway.protocol.compression import CompressionPolicy  # noqa: PLC0415
    from gateway.protocol.origin import Origin, OriginPolicy  # noqa: PLC0415

    offers = head.fields.get("sec-websocket-extensions", [])
    for takeover, bits in ((True, 15), (False, 9)):
        policy = CompressionPolicy(
            server_takeover=takeover,
            client_takeover=takeover,
            server_window_bits=bits,
            client_window_bits=bits,
        )
        agreed = policy.agree(offers)
        if agreed is not None:
            answer, parameters = agreed
            assert answer.startswith("permessage-deflate")
            assert answer.isascii()
            assert answer.isprintable()
            assert 9 <= parameters.server_window_bits <= bits
            assert 8 <= parameters.client_window_bits <= 15
            assert takeover or not (parameters.server_takeover or parameters.client_takeover)
    origins = head.fields.get("origin", [])
    for allowed in ORIGINS:
        admits = OriginPolicy.from_config(allowed, missing=False).admits(
            origins, Origin("https", "example.com", 443)
        )
        assert not admits or len(origins) == 1


@contextlib.contextmanager
def judged() -> Iterator[None]:
    """Take a refusal, which must be the client's fault and fit to be sent, for an answer."""
    from gateway.protocol.refusals import Refused  # noqa: PLC0415

    try:
        yield
    except Refused as refused:
        answer = refused.refusal.to_bytes()
    else:
        return
    assert answer.startswith(b"HTTP/1.1 4")


def load_atheris() -> Any:
    """Give the module, or end with a plain word on where to get it."""
    try:
        import atheris  # noqa: PLC0415 - only the program needs it
    except ImportError:
        sys.exit(
            "atheris is not installed: pip install 'atheris>=3,<4' (Linux on x86-64, CPython 3.11 to 3.13)"
        )
    return atheris


def main() -> None:
    """Fuzz."""
    atheris = load_atheris()
    with atheris.instrument_imports(include=["gateway.protocol", "gateway.core.request"]):
        import gateway.core.request  # noqa: PLC0415
        import gateway.protocol.compression  # noqa: PLC0415
        import gateway.protocol.frames  # noqa: PLC0415
        import gateway.protocol.handshake  # noqa: PLC0415
        import gateway.protocol.origin  # noqa: F401, PLC0415
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
