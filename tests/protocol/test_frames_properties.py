from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gateway.protocol.close_codes import may_be_received
from gateway.protocol.events import CloseReceived, PingReceived, PongReceived, Violation
from gateway.protocol.frames import FrameReader, frame_lengths, only_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.protocol.events import Event

    Build = Callable[..., bytes]

CONT, TEXT, BINARY, CLOSE, PING, PONG = Opcode

# The clock decides nothing here: a loaded machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Part(NamedTuple):
    """One frame of a random sequence; the fields are those of the builder of frames."""

    opcode: int
    payload: bytes
    final: bool = True
    reserved: int = 0
    masked: bool = True
    width: int | None = None
    declared: int | None = None

    @property
    def size(self) -> int:
        """The length that its header declares."""
        return len(self.payload) if self.declared is None else self.declared


def frames(opcode: Any, payload: Any, **others: Any) -> st.SearchStrategy[Part]:
    """Give random frames; arguments are strategies or values."""
    fields = {"opcode": opcode, "payload": payload, **others}
    return st.fixed_dictionaries(
        {
            name: value if isinstance(value, st.SearchStrategy) else st.just(value)
            for name, value in fields.items()
        }
    ).map(lambda values: Part(**values))


controls = frames(st.sampled_from((PING, PONG)), st.binary(max_size=8) | st.just(bytes(125)))
texts = st.one_of(st.text(max_size=12), st.sampled_from(("é" * 62, "é" * 63, "x" * 300))).map(str.encode)
payloads = st.binary(max_size=12) | st.sampled_from((0, 125, 126, 127, 200, 65_535, 65_536)).map(bytes)


@st.composite
def valid_messages(draw: st.DrawFn) -> list[Part]:
    """A message in one frame or several, cut anywhere, with control frames between them."""
    opcode = draw(st.sampled_from((TEXT, BINARY)))
    payload = draw(texts if opcode is TEXT else payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    parts = []
    for index, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
        if index:
            parts += draw(st.lists(controls, max_size=1))
        parts.append(Part(CONT if index else opcode, payload[begin:end], final=index == len(cuts)))
    return parts


close_bodies = st.builds(
    lambda code, reason: code.to_bytes(2) + reason,
    st.sampled_from((1000, 1001, 1004, 1005, 1014, 1015, 2999, 3000, 4999, 5000)),
    st.text(max_size=5).map(str.encode) | st.binary(max_size=5),
)
closes = frames(CLOSE, st.just(b"") | st.binary(max_size=4) | close_bodies)
any_frames = frames(
    st.integers(0, 15),
    st.binary(max_size=130),
    final=st.booleans(),
    reserved=st.sampled_from((0, 0, 0, 1, 2, 4, 7)),
    masked=st.sampled_from((True, True, True, False)),
    width=st.sampled_from((None, None, None, 2, 8)),
)
mistakes = st.sampled_from(
    (
        {"final": False},
        {"final": True},
        {"masked": False},
        {"reserved": 4},
        {"opcode": CONT},
        {"opcode": TEXT},
        {"opcode": TEXT, "payload": b"a\xff"},
        {"opcode": TEXT, "payload": b"\xed\xa0", "final": False},
        {"opcode": CONT, "payload": b"\xe2\x82", "final": False},
        {"opcode": CONT, "payload": b"\xf4\x90", "final": False},
        {"opcode": PING, "final": False},
        {"opcode": PING, "payload": bytes(126)},
        {"opcode": 0xB},
        {"width": 8},
        {"payload": bytes(125), "width": 2},
        {"payload": b"", "width": 8, "declared": 1 << 63},
    )
)


@st.composite
def sequences(draw: st.DrawFn) -> list[Part]:
    """Legal messages; perhaps a frame among them has a mistake, or is any frame; perhaps a close."""
    parts = [part for run in draw(st.lists(valid_messages(), min_size=1, max_size=5)) for part in run]
    at = draw(st.integers(0, len(parts) - 1))
    what = draw(st.sampled_from(("legal", "mistake", "mistake", "any")))
    if what == "mistake":
        parts[at] = parts[at]._replace(**draw(mistakes))
    elif what == "any":
        parts.insert(at, draw(any_frames))
    if draw(st.booleans()):
        parts.append(draw(closes))
    return [part._replace(width=8) if part.width and part.size > 65_535 else part for part in parts]


limits = st.sampled_from((70_000, 70_000, 70_000, 300, 124, 12))
fragment_limits = st.sampled_from((1_000, 1_000, 1_000, 3, 2, 1))


def drain(reader: FrameReader, data: bytes, limit: int | None) -> list[Event]:
    """Feed bytes, and with a limit go on for as long as the reader says that there is more."""
    if limit is None:
        return reader.feed(data)
    events = reader.feed(data, limit)
    assert len(events) <= limit
    while reader.has_more:
        more = reader.feed(b"", max(limit, 1))
        assert len(more) <= max(limit, 1)
        events += more
    return events


@settings(PATIENT, max_examples=200)
@given(sequences(), limits, fragment_limits, st.randoms(use_true_random=False), st.binary(max_size=12))
def test_every_cut_gives_the_same_events(
    frame: Build, parts: list[Part], limit: int, fragments: int, random: Random, junk: bytes
) -> None:
    """The events up to a byte, and whether one is unfinished there, are the same for every cut and limit."""
    stream = b"".join(frame(**part._asdict()) for part in parts) + junk
    reader = FrameReader(limit, fragments)
    events: list[Event] = []
    # By the number of bytes fed. Within a long payload a byte at a time is not worth its time everywhere.
    states = {}
    at = 0
    while at < len(stream):
        step = 1 if at % 8_192 < 200 or len(stream) < 1_000 else 499
        events += reader.feed(stream[at : at + step])
        at += step
        states[min(at, len(stream))] = (len(events), reader.unfinished != 0)
    for _ in range(4):
        reader = FrameReader(limit, fragments)
        cuts = sorted(random.sample(sorted(states), random.randint(0, min(len(states), 8))))
        seen: list[Event] = []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            seen += drain(reader, stream[begin:end], random.choice((None, None, 0, 1, 2, 3)))
            assert seen == events[: len(seen)]
            if end:
                assert (len(seen), reader.unfinished != 0) == states[end]
        assert seen == events


class Peer:
    """The server side of the `websockets` library without I/O, reporting in the gateway's events.

    The library leaves it to its I/O layers to put messages together and to decode them; that is done here
    as they do it, at the end of a message.
    """

    def __init__(self, limit: int) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=limit)
        self._opcode = BINARY
        self._message = b""

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes from the wire and give what they complete."""
        self.protocol.receive_data(data)
        events: list[Event] = []
        for received in self.protocol.events_received():
            events += self._translate(received)
            if events and type(events[-1]) is Violation:
                return events
        if self.protocol.parser_exc is not None:
            assert self.protocol.close_sent is not None
            events.append(Violation(int(self.protocol.close_sent.code), ""))
        return events

    def _translate(self, received: Any) -> list[Event]:
        payload = bytes(received.data)
        if received.opcode is PING:
            return [PingReceived(payload)]
        if received.opcode is PONG:
            return [PongReceived(payload)]
        if received.opcode is CLOSE:
            close = self.protocol.close_rcvd
            assert close is not None
            assert close == self.protocol.close_sent
            return [CloseReceived(int(close.code), close.reason)]
        if received.opcode is not CONT:
            self._opcode, self._message = received.opcode, b""
        self._message += payload
        if not received.fin:
            return []
        if self._opcode is BINARY:
            return [self._message]
        try:
            return [self._message.decode()]
        except UnicodeDecodeError:
            return [Violation(1007, "")]


class Strictness:
    """Where the gateway's verdict may differ from the library's, and what it has to be there.

    The cases, in the order in which a frame is judged:

    1. A frame that breaks a rule of section 5 and declares a length over the limit: 1002, where the library
       looks at the length first.
    2. A length that is not minimal, or has its top bit set: 1002, where the library takes the frame, or 1009.
    3. A control frame takes nothing of its message's limit, where the library counts it.
    4. A close frame inside a fragmented message is legal (section 5.4), where the library says 1002.
    5. A close frame whose code is illegal and whose reason is not UTF-8: 1002, where the library says 1007.
    6. More fragments than allowed: 1008, where the library counts them in its I/O layers only.
    7. Text that is not UTF-8: 1007 in the frame of the first bad byte, where the library waits for the last.
    """

    def __init__(self, limit: int, fragments: int) -> None:
        self.limit = limit
        self.max_fragments = fragments
        self.message: bytes | None = None
        self.is_text = False
        self.fragments = 0

    def judge(self, part: Part) -> list[Event] | None:
        """Give the events that the gateway owes for a frame; `None` where it owes what the library gives."""
        is_control = part.opcode >= CLOSE
        over = part.size > self.limit - len(self.message or b"")
        if (
            part.reserved
            or not part.masked
            or part.opcode not in {*Opcode}
            or (is_control and (not part.final or part.size > 125 or part.width))
            or (part.opcode == CONT and self.message is None)
            or (part.opcode in {TEXT, BINARY} and self.message is not None)
        ):
            return [Violation(1002, "")] if over or part.width else None
        if part.width and (part.size >> 63 or part.size < (126 if part.width == 2 else 65_536)):
            return [Violation(1002, "")]
        if is_control:
            return self._judge_control(part, over=over)
        return self._judge_data(part, over=over)

    def _judge_control(self, part: Part, *, over: bool) -> list[Event] | None:
        code, reason = int.from_bytes(part.payload[:2]), part.payload[2:]
        if part.opcode != CLOSE:
            return [(PingReceived if part.opcode == PING else PongReceived)(part.payload)] if over else None
        if not part.payload:
            return [CloseReceived(1005, "")] if self.message is not None else None
        if len(part.payload) == 1 or not may_be_received(code):
            return [Violation(1002, "")]
        if not over and self.message is None:
            return None
        try:
            return [CloseReceived(code, reason.decode())]
        except UnicodeDecodeError:
            return [Violation(1007, "")]

    def _judge_data(self, part: Part, *, over: bool) -> list[Event] | None:
        if over:
            return None
        if part.opcode != CONT:
            self.message, self.fragments, self.is_text = b"", 0, part.opcode == TEXT
        assert self.message is not None
        self.message += part.payload
        self.fragments += 1
        if self.fragments + (not part.final) > self.max_fragments:
            return [Violation(1008, "")]
        if self.is_text and not part.final and not begins_text(self.message):
            return [Violation(1007, "")]
        if part.final:
            self.message = None
        return None


def begins_text(data: bytes) -> bool:
    """Tell whether any UTF-8 begins so: whether some character could be completed at the end."""
    # Among these are continuation bytes that fit each first byte (RFC 3629 section 4).
    ends = re.findall(rb".", b"\x80\x90\xa0\xbf", re.DOTALL)
    tails = [b"", *ends, *(end + b"\x80" for end in ends), *(end + b"\x80\x80" for end in ends)]
    return any(is_text(data + tail) for tail in tails)


def is_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(PATIENT, max_examples=400)
@given(sequences(), limits, fragment_limits)
def test_verdict_is_that_of_websockets(frame: Build, parts: list[Part], limit: int, fragments: int) -> None:
    """Frame by frame the events are those of `websockets`, but in the seven cases that `Strictness` names."""
    reader, peer, strictness = FrameReader(limit, fragments), Peer(limit), Strictness(limit, fragments)
    for part in parts:
        data = frame(**part._asdict())
        owed = strictness.judge(part)
        events = [Violation(e.code, "") if isinstance(e, Violation) else e for e in reader.feed(data)]
        if owed is None:
            assert events == peer.feed(data), part
        else:
            assert events == owed, part
            peer_events = peer.feed(data)
            if events != peer_events or peer.protocol.state is not OPEN:
                return
        if events and isinstance(events[-1], CloseReceived | Violation):
            return


@given(
    data=st.one_of(
        st.binary(max_size=150),
        st.builds(
            lambda first, payload, more: bytes((first, 0x80 | len(payload))) + b"abcd" + payload + more,
            st.sampled_from((0x81, 0x82, 0x01, 0xC1, 0x88, 0x89)),
            st.one_of(st.binary(max_size=125), st.text(max_size=20).map(str.encode)),
            st.sampled_from((b"", b"", b"", b"\x81")),
        ),
    ),
    limit=st.sampled_from((1, 20, 125, 1000)),
)
def test_a_message_that_comes_alone_is_read_alike(data: bytes, limit: int) -> None:
    """Of what the short way takes for a message the reader makes the same; the usual frame goes that way."""
    message = only_message(data, frame_lengths(limit))
    reader = FrameReader(limit, 10)
    events = reader.feed(data)
    if message is not None:
        assert (events, reader.idle, reader.unfinished) == ([message], True, 0)
        assert type(events[0]) is type(message)
    elif data[:1] in {b"\x81", b"\x82"} and len(events) == 1 and isinstance(events[0], str | bytes):
        assert not reader.idle or len(data) > 131
