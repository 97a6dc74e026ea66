"""A connection against a model of it: whatever happens to it, in any order, under a clock of the test's own."""

from __future__ import annotations

import asyncio
import io
import os
from collections import deque
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from websockets.frames import Frame, Opcode

from gateway import Connection, Handler, Node, Options
from gateway.broker.memory import MemoryBroker
from gateway.config.models import RouteConfig
from gateway.core.connection import State
from gateway.core.dispatch import Dispatch
from gateway.core.route import Route
from gateway.core.socket_connection import SocketConnection
from gateway.observe.logs import make_logger
from gateway.protocol.origin import OriginPolicy

LIMITS = {
    "max_message_bytes": 300,
    "max_fragments": 4,
    "message_timeout_seconds": 11,
    "send_queue_bytes": 2000,
    "receive_backlog": 3,
    "handler_timeout_seconds": 13,
    "close_timeout_seconds": 3,
    "ping_interval_seconds": 17,
    "pong_timeout_seconds": 7,
    "max_pings_per_second": 5,
}
LINGER, BATCH, HIGH_WATER, BIG = 1, 64, 1000, 200
WAITING = ("wait", "wait-raise", "wait-close", "wait-own", "stubborn", "stream")
DEEDS = ("plain", "plain", "raise", "close", "say", "flood", "flood-close", "publish", "own", *WAITING)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when it is told to."""

    now = 1000.0

    def time(self) -> float:
        """Give the time that was set."""
        return self.now

    def turn(self) -> None:
        """Make one turn."""
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """Make turns until nothing is left to do at this time."""
        for _ in range(500):
            if not self._ready:
                return
            self.turn()
        raise AssertionError("the loop does not come to rest")

    def timers(self) -> list[float]:
        """Give the times at which something is due."""
        return sorted(handle.when() for handle in self._scheduled if not handle.cancelled())


class Transport(asyncio.Transport):
    """A socket to a peer that reads when the test says so. It keeps asyncio's rules, and uvloop's stricter ones."""

    def __init__(self, loop: Clock, *, half_close: bool) -> None:
        super().__init__()
        self.loop = loop
        self.half_close = half_close
        self.protocol: Any = None
        self.wire = b""
        self.buffer = b""
        self.inbound: deque[bytes | None] = deque()
        self.peer_reads, self.reading = True, True
        self.closing = self.lost = self.finished = self.aborted = self.paused = False

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading and not self.closing

    def can_write_eof(self) -> bool:
        return self.half_close

    def pause_reading(self) -> None:
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.reading = False

    def resume_reading(self) -> None:
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.reading = True

    def write(self, data: bytes) -> None:
        assert not self.finished, "written after the end of writing"
        if self.closing and not self.buffer:
            return
        self.buffer += bytes(data)
        if self.peer_reads:
            self.pass_on(len(self.buffer))
        elif len(self.buffer) > HIGH_WATER and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        self.finished = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.buffer:
                self.lose()

    def abort(self) -> None:
        self.aborted = self.closing = True
        self.buffer = b""
        self.lose()

    # The peer's side.

    def pass_on(self, count: int) -> None:
        """Let the peer read so many bytes."""
        self.wire += self.buffer[:count]
        self.buffer = self.buffer[count:]
        if self.paused and len(self.buffer) <= HIGH_WATER // 4:
            self.paused = False
            self.protocol.resume_writing()
        if self.closing and not self.buffer and not self.lost:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """End TCP."""
        self.closing = True
        self.buffer = b""
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self.protocol.connection_lost, error)


class Event(NamedTuple):
    """What one piece of the peer's bytes means: a message, a ping, a pong, a close or a violation."""

    kind: str
    value: Any = None


class Piece(NamedTuple):
    """Bytes of the peer; their event is known once `decides` of them are there."""

    wire: bytes
    event: Event | None
    decides: int
    item: int


class Probe(Handler[Options]):
    """A handler that notes its events, and does what a message says."""

    def __init__(self, open_deed: str, close_deed: str) -> None:
        super().__init__(Options())
        self.open_deed, self.close_deed = open_deed, close_deed
        self.events: list[Any] = []
        self.sent: list[bytes] = []
        self.lost_place: set[str] = set()
        self.ended: set[str] = set()
        self.release: asyncio.Future[None] | None = None
        self.ticks: list[tuple[float, bool]] = []
        self.most_queued = 0

    def on_open(self, connection: Connection) -> Any:
        """Note it, and do what was chosen."""
        self.events.append("open")
        return self.do(connection, self.open_deed, "open")

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Note it, and do what it says."""
        self.events.append(message)
        text = message if isinstance(message, str) else message.decode()
        return self.do(connection, text.split()[1], text)

    def on_close(self, connection: Connection, code: int, reason: str) -> Any:
        """Note it, and do what was chosen."""
        self.events.append(("close", code))
        connection.send("nowhere")
        return self.do(connection, self.close_deed, "closed")

    def do(self, connection: Connection, deed: str, name: str) -> Any:
        """Do a deed."""
        if deed in WAITING:
            return self.wait(connection, deed, name)
        if deed == "raise":
            raise ValueError("as told")
        if deed == "say":
            self.say(connection, 1)
        if deed.startswith("flood"):
            self.say(connection, 3 * LIMITS["send_queue_bytes"] // BIG)
        if deed == "publish":
            connection.publish("g", f"publication of {name}")
        if deed == "own":
            self.own(connection)
        if connection.node.metrics.overflows["disconnect"]:
            self.lost_place.add(name)
        if deed.endswith("close"):
            connection.close(4000, "as told")
        return None

    async def wait(self, connection: Connection, deed: str, name: str) -> None:
        """Do a deed that waits."""
        self.release = release = asyncio.get_running_loop().create_future()
        try:
            if deed == "stream":
                for _ in range(10):
                    self.say(connection, 1)
                    await connection
                return
            while not release.done():
                try:
                    await asyncio.shield(release)
                except asyncio.CancelledError:
                    if deed != "stubborn":
                        raise
            if deed != "wait":
                self.do(connection, deed.removeprefix("wait-"), name)
        finally:
            self.ended.add(name)

    def own(self, connection: Connection) -> None:
        """Start a timer and a task that end with the connection."""
        connection.every(1, lambda: self.ticks.append((connection.node.loop.time(), connection.is_open)))
        connection.start_task(asyncio.sleep(1e6))

    def say(self, connection: Connection, count: int) -> None:
        """Send numbered messages."""
        for _ in range(count):
            message = b"%04d" % len(self.sent) + bytes(BIG - 4)
            if connection.is_open:
                self.sent.append(message)
            connection.send(message)
            self.most_queued = max(self.most_queued, connection.queued_bytes)


class Model:
    """What a connection is expected to do: its states, its events, and when its time limits fall."""

    def __init__(self, clock: Clock, probe: Probe) -> None:
        self.clock, self.probe = clock, probe
        self.state = State.OPEN
        self.code: int | None = None
        self.sent_close: int | None = None
        self.log: list[Any] = []
        self.inbox: deque[Event] = deque()
        self.held: list[Event] = []
        self.waiting: tuple[str, str] | None = None
        self.windows: dict[str, tuple[float, float]] = {}
        self.pongs: list[bytes] = []
        self.pings, self.pings_since = 0, 0.0
        self.begun: int | None = None
        self.watched: int | None = None
        self.told = self.lost = self.paused = self.ping_out = self.soon = False

    def begin(self, name: str, seconds: float) -> None:
        """Expect a time limit to fall; sweeps of deadlines may come a little late."""
        earliest = self.clock.now + seconds
        self.windows[name] = (earliest - 1e-6, earliest + min(seconds / 10, 0.25) + 1e-6)

    def falls(self, name: str) -> bool:
        """Tell whether a time limit may fall now."""
        return name in self.windows and self.windows[name][0] <= self.clock.now

    def did(self, name: str, deed: str) -> None:
        """Do what an event's handler does."""
        if deed in WAITING:
            self.waiting = (name, deed)
            self.begin("handler", LIMITS["handler_timeout_seconds"])
        else:
            self.finished(name, deed)

    def finished(self, name: str, deed: str) -> None:
        """Do what is left at a handler's end."""
        if name in self.probe.lost_place:
            self.lose_place()
        if deed.endswith("raise"):
            self.fail(1011)
        elif deed.endswith("close"):
            self.begin_close(4000)

    def lose_place(self) -> None:
        """Lose the place in the groups: the queue was full."""
        if self.state is State.OPEN:
            self.state, self.sent_close, self.soon = State.CLOSING, 1013, True
            self.drop_messages()

    def begin_close(self, code: int) -> None:
        """Send our close frame."""
        if self.state is State.OPEN:
            self.state, self.sent_close = State.CLOSING, code
            self.begin("socket", LIMITS["close_timeout_seconds"])
            self.drop_messages()

    def drop_messages(self) -> None:
        """Ignore messages from now on."""
        self.inbox = deque(event for event in self.inbox if event.kind != "message")

    def fail(self, code: int) -> None:
        """Say why, and end."""
        if self.state is State.OPEN:
            self.sent_close = code
        self.inbox.clear()
        if self.state is not State.CLOSED:
            self.finish(code)
            self.paused = False
            self.begin("socket", LINGER)

    def finish(self, code: int) -> None:
        """Step into CLOSED."""
        if self.state is not State.CLOSED:
            self.state, self.code = State.CLOSED, code
            for name in ("ping", "pong", "message"):
                self.windows.pop(name, None)
            self.tell_close()

    def tell_close(self) -> None:
        """Raise the close event, unless others come first."""
        if not self.waiting and not self.inbox and not self.told:
            self.told = True
            self.log.append(("close", self.code))
            self.did("closed", self.probe.close_deed)

    def take(self, event: Event) -> None:
        """Take one event."""
        kind, value = event
        if kind == "message":
            if self.state is State.OPEN or (self.state is State.CLOSED and not self.told):
                self.log.append(value)
                text = value if isinstance(value, str) else value.decode()
                self.did(text, text.split()[1])
        elif kind == "ping":
            if self.clock.now - self.pings_since >= 1:
                self.pings, self.pings_since = 0, self.clock.now
            self.pings += 1
            if self.pings > LIMITS["max_pings_per_second"]:
                self.fail(1008)
            elif self.state is State.OPEN:
                self.pongs.append(value)
        elif kind == "pong":
            self.ping_out = False
            self.windows.pop("pong", None)
        elif kind == "violation":
            self.fail(value)
        elif self.state is not State.CLOSED:
            if self.state is State.OPEN:
                self.sent_close = value
            self.finish(value)
            self.begin("socket", LIMITS["close_timeout_seconds"])

    def deliver(self, events: list[Event], begun: int | None) -> None:
        """Take what one read brings."""
        self.begun = begun
        if self.state is State.CLOSED:
            return
        if self.waiting:
            self.held += events
            room = max(LIMITS["receive_backlog"] - len(self.inbox), 0)
            batch, self.held = self.held[:room], self.held[room:]
            self.put_back(batch)
        else:
            self.consume(events)
        self.watch()

    def consume(self, events: list[Event]) -> None:
        """Take events until a handler waits."""
        while events:
            batch, events = events[:BATCH], events[BATCH:]
            while batch:
                event = batch.pop(0)
                if event.kind == "message" and self.state is not State.OPEN:
                    continue
                self.take(event)
                if self.waiting and self.state is not State.CLOSED:
                    self.held = events
                    self.put_back(batch)
                    return

    def put_back(self, events: list[Event]) -> None:
        """Keep events, but for those that overtake."""
        for event in events:
            if event.kind in {"ping", "pong"} or (self.state is not State.OPEN and event.kind != "message"):
                self.take(event)
            elif self.state is State.OPEN:
                self.inbox.append(event)
        if self.state is not State.CLOSED and (len(self.inbox) >= LIMITS["receive_backlog"] or self.held):
            self.paused = True

    def go_on(self) -> None:
        """Take what was kept."""
        while self.inbox and not self.waiting:
            self.take(self.inbox.popleft())
        if self.waiting:
            return
        if self.state is State.CLOSED:
            self.tell_close()
            return
        held, self.held = self.held, []
        self.consume(held)
        if not self.waiting:
            self.paused = False
        self.watch()

    def watch(self) -> None:
        """Begin or end the time limit of an unfinished message."""
        target = self.begun if not self.paused and self.state is not State.CLOSED else None
        if target != self.watched:
            self.watched = target
            self.windows.pop("message", None)
            if target is not None:
                self.begin("message", LIMITS["message_timeout_seconds"])


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
items = st.one_of(
    st.tuples(st.just("message"), st.sampled_from(DEEDS), st.booleans(), st.integers(1, 3), st.booleans()),
    st.tuples(st.sampled_from(("ping", "pong"))),
    st.tuples(st.just("close"), st.sampled_from((1000, 1005, 3000))),
    st.tuples(st.just("violation"), st.sampled_from(VIOLATIONS)),
)
# Ends are rarer than what may come before them.
usual = st.one_of(items.filter(lambda item: item[0] in {"message", "ping", "pong"}), items)


class ConnectionMachine(RuleBasedStateMachine):
    """A connection on a socket and a clock of the test's own, and the model of it beside."""

    @initialize(
        overflow=st.sampled_from(("disconnect", "drop_oldest", "drop_newest", "conflate")),
        open_deed=st.sampled_from(("plain", "plain", "raise", "close", "wait", "wait-raise", "own")),
        close_deed=st.sampled_from(("plain", "raise", "wait", "wait-raise", "wait-own", "stubborn")),
        half_close=st.booleans(),
    )
    def start(self, overflow: str, open_deed: str, close_deed: str, half_close: bool) -> None:
        """Open a connection."""
        self.clock = Clock()
        self.faults: list[dict[str, Any]] = []
        self.clock.set_exception_handler(lambda _, context: self.faults.append(context))
        self.probe = Probe(open_deed, close_deed)
        self.overflow = overflow
        config = RouteConfig.model_validate(
            {"path": "/t", "groups": ["g"], "overflow": overflow, "limits": LIMITS}
        )
        route = Route(
            config, Dispatch([("probe", self.probe)]), OriginPolicy.from_config(None, missing=True), ()
        )

        async def make() -> Node:
            node = Node(MemoryBroker(), make_logger("error", "json", io.StringIO()))
            await node.start()
            await asyncio.sleep(0)
            return node

        self.node = self.clock.run_until_complete(make())
        self.transport = Transport(self.clock, half_close=half_close)
        self.node.flusher.secure = not half_close
        self.connection = SocketConnection(
            node=self.node,
            route=route,
            transport=self.transport,
            head=b"",
            path="/t",
            query="",
            params={},
            remote="",
            identity=None,
            subprotocol=None,
        )
        self.transport.protocol = self.connection
        self.node.sockets.add(self.connection)
        self.model = Model(self.clock, self.probe)
        self.stream: list[Piece] = []
        self.unsent = b""
        self.arrived = self.serial = self.publications = 0
        self.always_reads = True
        self.over = self.vanished = False
        self.clock.call_soon(self.connection.open)
        self.clock.settle()
        self.model.log.append("open")
        self.model.begin("ping", LIMITS["ping_interval_seconds"])
        self.model.did("open", open_deed)

    # What the peer does.

    def pieces(self, item: tuple[Any, ...]) -> list[Piece]:
        """Give the bytes of an item and what they mean."""
        self.serial += 1
        kind, *rest = item
        if kind in {"ping", "pong"}:
            parts = [
                (frame(9 if kind == "ping" else 10, b"%d" % self.serial), Event(kind, b"%d" % self.serial), 0)
            ]
        elif kind == "close":
            parts = [(frame(8, close_body(rest[0])), Event(kind, rest[0]), 0)]
        elif kind == "violation":
            wire, code, decides = rest[0]
            parts = [(wire, Event(kind, code), decides)]
        else:
            deed, binary, count, pinged = rest
            payload = f"{self.serial} {deed}".encode()
            value = payload if binary else payload.decode()
            parts = []
            for index in range(count):
                if index and pinged:
                    parts.append((frame(9, b"within"), Event("ping", b"within"), 0))
                last = index == count - 1
                part = payload[index:] if last else payload[index : index + 1]
                opcode = 0 if index else 1 + binary
                parts.append((frame(opcode, part, final=last), Event(kind, value) if last else None, 0))
        return [Piece(wire, event, decides or len(wire), self.serial) for wire, event, decides in parts]

    def send(self, count: int) -> None:
        """Put so many of the peer's bytes on the wire."""
        if count and not self.vanished:
            self.transport.inbound.append(self.unsent[:count])
            self.unsent = self.unsent[count:]

    @rule(item=usual, cut=st.none() | st.integers(0, 30))
    def peer_sends(self, item: tuple[Any, ...], cut: int | None) -> None:
        """The peer sends an item, or only its beginning."""
        pieces = self.pieces(item)
        self.stream += pieces
        before = len(self.unsent)
        self.unsent += b"".join(piece.wire for piece in pieces)
        self.send(len(self.unsent) if cut is None else before + cut)

    @rule(several=st.lists(usual, min_size=2, max_size=9))
    def peer_sends_several(self, several: list[tuple[Any, ...]]) -> None:
        """The peer sends several items in one piece."""
        pieces = [piece for item in several for piece in self.pieces(item)]
        self.stream += pieces
        self.unsent += b"".join(piece.wire for piece in pieces)
        self.send(len(self.unsent))

    @rule()
    def peer_sends_the_rest(self) -> None:
        """The peer goes on with what it has begun."""
        self.send(len(self.unsent))

    @rule(what=st.sampled_from(("stop", "stop", "some", "all")))
    def peer_reads(self, what: str) -> None:
        """The peer stops reading, reads a little, or reads all from now on."""
        self.transport.peer_reads = what == "all"
        self.always_reads = False
        if what != "stop":
            self.transport.pass_on(700 if what == "some" else len(self.transport.buffer))

    @precondition(lambda self: self.clock.now > 1001)
    @rule(how=st.sampled_from(("eof", "reset")))
    def peer_ends(self, how: str) -> None:
        """The peer ends TCP."""
        if not self.vanished:
            self.vanished = True
            if how == "reset":
                self.transport.lose(ConnectionResetError())
            else:
                self.transport.inbound.append(None)

    # What the server does.

    @rule()
    def release(self) -> None:
        """Let the handler that waits go on."""
        if self.probe.release is not None and not self.probe.release.done():
            self.probe.release.set_result(None)

    @rule(seconds=st.sampled_from((0.3, 1.2, 3.4, 7.8, 11.3, 13.3, 17.4)))
    def time_passes(self, seconds: float) -> None:
        """Let time pass, and look at each moment at which something is due."""
        end = self.clock.now + seconds
        while (due := self.clock.timers()) and due[0] <= end:
            self.clock.now = max(due[0], self.clock.now)
            self.clock.turn()
            self.agree()
        self.clock.now = end

    @rule(size=st.sampled_from((20, BIG, 3000)), key=st.sampled_from((None, "k")))
    def publish(self, size: int, key: str | None) -> None:
        """Publish to the group."""
        self.publications += 1
        self.node.publish("g", b"P%05d" % self.publications + bytes(size), key=key)

    @rule()
    def drain(self) -> None:
        """Close it as a stop of the gateway does."""
        self.connection.begin_close(1001, "the gateway stops")
        self.model.begin_close(1001)

    # The comparison.

    @invariant()
    def agree(self) -> None:
        """The connection has done what the model does, and nothing else."""
        self.clock.settle()
        self.follow()
        transport = self.transport
        while transport.inbound and transport.is_reading():
            chunk = transport.inbound.popleft()
            if chunk is None:
                if not self.connection.eof_received():
                    transport.close()
                self.model.begin("socket", LIMITS["close_timeout_seconds"])
                self.clock.settle()
            else:
                self.connection.data_received(chunk)
                self.clock.settle()
                self.model.deliver(*self.read(len(chunk)))
            self.follow()
        self.compare()

    def read(self, count: int) -> tuple[list[Event], int | None]:
        """Give what so many more bytes mean, and which item is unfinished after them."""
        begin, self.arrived = self.arrived, self.arrived + count
        events: list[Event] = []
        at, begun = 0, None
        for index, piece in enumerate(self.stream):
            if begin < at + piece.decides <= self.arrived and piece.event is not None and not self.over:
                events.append(piece.event)
                self.over = piece.event.kind in {"close", "violation"}
            follows = index + 1 < len(self.stream) and self.stream[index + 1].item == piece.item
            if at < self.arrived and (
                self.arrived < at + len(piece.wire) or (follows and self.arrived == at + len(piece.wire))
            ):
                begun = piece.item
            at += len(piece.wire)
        return events, None if self.over else begun

    def follow(self) -> None:
        """Let the model do what time has done to the connection; it must have been the time for it."""
        model, metrics, probe = self.model, self.node.metrics, self.probe
        if model.soon:
            model.soon = False
            model.fail(1013)
        if self.connection._ping_sent_at is not None and not model.ping_out and model.state is State.OPEN:
            assert model.falls("ping")
            model.ping_out = True
            model.begin("ping", LIMITS["ping_interval_seconds"])
            model.begin("pong", LIMITS["pong_timeout_seconds"])
        if self.transport.lost and not model.lost:
            assert not self.transport.aborted or model.falls("socket"), "aborted too early"
            model.lost = True
            model.windows.pop("socket", None)
            kept = model.inbox[-1] if model.inbox else None
            model.finish(kept.value if kept is not None and kept.kind == "close" else 1006)
        if metrics.handler_timeouts > self.timeouts:
            self.timeouts += 1
            assert model.falls("handler"), "handler ended too early"
            model.windows.pop("handler")
            model.fail(1011)
            self.expired = model.waiting
        if metrics.closes and model.state is not State.CLOSED:
            (code,) = metrics.closes
            cause = {1011: "pong", 1008: "message"}.get(code)
            assert model.falls(cause) if cause else (code == 1013 and metrics.overflows["disconnect"]), code
            if code == 1013:
                model.lose_place()
            model.fail(code)
        while model.waiting is not None and model.waiting[0] in probe.ended:
            name, deed = ended = model.waiting
            model.waiting = None
            model.windows.pop("handler", None)
            if ended != self.expired:
                model.finished(name, deed)
            model.go_on()

    def compare(self) -> None:
        """Hold the connection against the model."""
        model, node, connection = self.model, self.node, self.connection
        assert not self.faults
        assert self.probe.events == model.log
        assert connection._state == model.state
        assert node.metrics.closes == ({} if model.code is None else {model.code: 1})
        overdue = {name: window for name, window in model.windows.items() if window[1] < self.clock.now}
        assert not overdue
        members = (connection,) if model.state is State.OPEN else ()
        assert (node.members("g"), node.connections()) == (members, members)
        bound = LIMITS["send_queue_bytes"] + 3100
        assert max(connection.queued_bytes, self.probe.most_queued) <= bound
        self.compare_wire()

    def compare_wire(self) -> None:
        """Take apart what the peer has read: legal frames, nothing after a close frame, messages in order."""
        model, wire, at = self.model, self.transport.wire, 0
        data: list[bytes] = []
        pongs: list[bytes] = []
        closes: list[int] = []
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
        assert not closes or closes == [model.sent_close]
        own = [message for message in data if message[:1].isdigit()]
        published = [message[:6] for message in data if message[:1] == b"P"]
        assert all(earlier < later for earlier, later in zip(published, published[1:], strict=False))
        assert all(earlier < later for earlier, later in zip(own, own[1:], strict=False))
        unhurt = self.transport.peer_reads and not self.transport.aborted and not self.vanished
        if unhurt:
            assert closes == ([] if model.sent_close is None else [model.sent_close])
            assert own == self.probe.sent or self.node.metrics.overflows
        if unhurt and self.always_reads:
            assert pongs == model.pongs

    def teardown(self) -> None:
        """End it, and see that nothing is left of it."""
        if not hasattr(self, "model"):
            self.clock.close()
            return
        try:
            self.vanished = True
            self.transport.lose()
            for _ in range(20):
                self.release()
                self.agree()
            assert self.model.log[-1] == ("close", self.model.code)
            assert self.model.log.count(("close", self.model.code)) == 1
            left = [key for key, found in self.node._deadlines.items() if self.connection in found]
            assert not left, "deadlines are left"
            assert not self.node.sockets
            assert not self.node.event_tasks
            assert self.connection not in self.node.flusher._pending
            assert len(asyncio.all_tasks(self.clock)) <= 1, "tasks are left"
            self.time_passes(30)
            assert not self.clock.timers(), "timers are left"
            assert all(is_open for _, is_open in self.probe.ticks)
        finally:
            self.clock.run_until_complete(self.node.stop())
            self.clock.settle()
            self.clock.close()

    timeouts = 0
    expired: tuple[str, str] | None = None


LONG = os.environ.get("GATEWAY_FUZZ_EXAMPLES")
TestConnection = ConnectionMachine.TestCase
TestConnection.settings = settings(
    max_examples=int(LONG) if LONG else 150,
    stateful_step_count=50 if LONG else 30,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
