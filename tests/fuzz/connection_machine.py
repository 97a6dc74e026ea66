"""The rules by which hypothesis drives a connection and its model, and the comparison of the two."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from itertools import pairwise
from typing import Any

from connection_clock import Clock, Transport
from connection_model import Event, Model
from connection_peer import Piece, final, make_pieces, take_apart, usual
from connection_probe import BIG, LIMITS, Probe
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import Node
from gateway.broker.memory import MemoryBroker
from gateway.config.models import RouteConfig
from gateway.core.dispatch import Dispatch
from gateway.core.established_connection import State
from gateway.core.route import Route
from gateway.core.socket_connection import SocketConnection
from gateway.core.stepping import STUBBORN_SECONDS
from gateway.observe.logs import make_logger
from gateway.protocol.origin import OriginPolicy


class ConnectionMachine(RuleBasedStateMachine):
    """A connection on a socket and a clock of the test's own, and the model of it beside."""

    @initialize(
        overflow=st.sampled_from(("disconnect", "drop_oldest", "drop_newest", "conflate")),
        open_deed=st.sampled_from(("plain", "plain", "plain", "own", "wait", "raise", "close", "wait-raise")),
        close_deed=st.sampled_from(("plain", "raise", "wait", "wait-raise", "wait-own", "stubborn")),
        half_close=st.booleans(),
        patience=st.sampled_from((0, 4, 8, 16)),
    )
    def start(self, overflow: str, open_deed: str, close_deed: str, half_close: bool, patience: int) -> None:
        """Open a connection. For so many steps nothing ends it on purpose."""
        self.patience = patience
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
        self.transport = Transport(self.clock, self.probe.journal, half_close=half_close)
        self.node.flusher.secure = not half_close
        self.connection = SocketConnection(
            node=self.node,
            route=route,
            transport=self.transport,
            head=b"GET /t HTTP/1.1",
            params={},
            remote="",
            identity=None,
            subprotocol=None,
        )
        self.transport.protocol = self.connection
        self.model = Model(self.clock, self.probe)
        self.stream: list[Piece] = []
        self.unsent = b""
        self.arrived = self.serial = self.publications = 0
        self.always_reads = True
        self.over = self.vanished = False
        self.given_up: set[str] = set()
        self.clock.run(self.connection.open, b"")
        self.model.log.append("open")
        self.model.begin("ping", LIMITS["ping_interval_seconds"])
        self.model.did("open", open_deed)

    # What the peer does.

    def put(self, item: tuple[Any, ...]) -> int:
        """Have the peer say something behind what it has not sent yet; give how many bytes that is."""
        before = len(self.unsent)
        self.serial += 1
        pieces = make_pieces(item, self.serial)
        self.stream += pieces
        self.unsent += b"".join(piece.wire for piece in pieces)
        return before

    def send(self, count: int) -> None:
        """Put so many of the peer's bytes on the wire."""
        if count and not self.vanished:
            self.transport.inbound.append(self.unsent[:count])
            self.unsent = self.unsent[count:]

    @precondition(lambda self: self.patience <= 0)
    @rule(item=final)
    def peer_sends_last(self, item: tuple[Any, ...]) -> None:
        """The peer sends what ends the connection."""
        self.peer_sends_several([item])

    @rule(item=usual, cut=st.none() | st.integers(0, 30))
    def peer_sends(self, item: tuple[Any, ...], cut: int | None = None) -> None:
        """The peer sends an item, or only its beginning."""
        before = self.put(item)
        self.send(len(self.unsent) if cut is None else before + cut)

    @rule(
        several=st.lists(usual, min_size=2, max_size=9),
        last=st.none() | final,
        short=st.just(0) | st.integers(1, 20),
    )
    def peer_sends_several(
        self, several: list[tuple[Any, ...]], last: tuple[Any, ...] | None = None, short: int = 0
    ) -> None:
        """The peer sends several items in one piece, but for so many bytes."""
        for item in several:
            self.put(item)
        if last is not None and self.patience <= 0:
            self.put(last)
        self.send(max(len(self.unsent) - short, 0))

    @rule(count=st.integers(1, 40))
    def peer_goes_on(self, count: int) -> None:
        """The peer goes on with what it has begun."""
        self.send(count)

    @rule(what=st.sampled_from(("stop", "stop", "some", "all")))
    def peer_reads(self, what: str) -> None:
        """The peer stops reading, reads a little, or reads all from now on."""
        self.transport.peer_reads = what == "all"
        self.always_reads = False
        if what != "stop":
            self.clock.run(self.transport.pass_on, 700 if what == "some" else len(self.transport.buffer))

    @precondition(lambda self: self.patience <= 0)
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
        """Let the handler that waits go on, and those that were given up."""
        for release in self.probe.releases:
            if not release.done():
                release.set_result(None)

    @rule(seconds=st.sampled_from((0.3, 1.2, 3.4, 7.8, 11.3, 17.4, 31.4)), answers=st.booleans())
    def time_passes(self, seconds: float, answers: bool = False) -> None:
        """Let time pass, and look at each moment at which something is due; the peer may answer pings."""
        end = self.clock.now + seconds
        while (due := self.clock.timers()) and due[0] <= end:
            self.clock.now = max(due[0], self.clock.now)
            self.clock.turn()
            self.agree()
            if answers and self.model.ping_out and not self.unsent:
                self.peer_sends(("pong",))
                self.agree()
        self.clock.now = end

    @rule(size=st.sampled_from((20, BIG, 3000)), key=st.sampled_from((None, "k")), count=st.integers(1, 4))
    def publish(self, size: int, key: str | None, count: int) -> None:
        """Publish to the group."""
        for _ in range(count):
            self.publications += 1
            message = b"P%05d" % self.publications + bytes(size)
            self.clock.run(partial(self.node.publish, "g", message, key=key))

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def drain(self) -> None:
        """Close it as a stop of the gateway does."""
        self.clock.run(self.connection.begin_close, 1001, "the gateway stops")
        self.model.begin_close(1001)

    # The comparison.

    @invariant()
    def count(self) -> None:
        """Count the steps."""
        self.patience -= 1

    @invariant()
    def agree(self) -> None:
        """The connection has done what the model does, and nothing else."""
        self.clock.settle()
        self.follow()
        transport = self.transport
        while transport.inbound and transport.is_reading():
            chunk = transport.inbound.popleft()
            if chunk is None:
                self.clock.run(transport.receive_end)
                self.model.begin("socket", LIMITS["close_timeout_seconds"])
            else:
                self.clock.run(self.connection.data_received, chunk)
                self.model.deliver(*self.read(len(chunk)))
            self.follow()
        self.compare()

    def read(self, count: int) -> tuple[list[Event], int | None, bool]:
        """Give what so many more bytes mean, which item is unfinished, and whether bytes follow."""
        before, self.arrived = self.arrived, self.arrived + count
        events: list[Event] = []
        item, begun, more, end = 0, None, False, 0
        for piece in self.stream:
            begin, end = end, end + len(piece.wire)
            if begin >= self.arrived:
                if piece.item == item:
                    begun = item
                break
            item = piece.item
            begun = item if end > self.arrived else None
            more = end > before
            if piece.event is not None and before < begin + piece.decides <= self.arrived and not self.over:
                events.append(piece.event)
                self.over = piece.event.kind in {"close", "violation"}
                more = False
        return (events, None, False) if self.over else (events, begun, more)

    def follow(self) -> None:
        """Let the model do what time has done to the connection; it must have been the time for it."""
        model, metrics, journal = self.model, self.node.metrics, self.probe.journal
        if model.soon:
            model.soon = False
            model.fail(1013)
        if self.connection._ping_sent_at is not None and not model.ping_out and model.state is State.OPEN:
            assert model.falls("ping")
            model.ping_out = True
            model.begin("ping", LIMITS["ping_interval_seconds"])
            model.begin("pong", LIMITS["pong_timeout_seconds"])
        if metrics.handler_timeouts > self.timeouts:
            self.timeouts += 1
            assert model.falls("handler"), "handler ended too early"
            model.windows.pop("handler")
            model.fail(1011)
            self.expired = model.waiting
            if model.waiting is not None and model.waiting[1] == "stubborn":
                model.begin("stubborn", STUBBORN_SECONDS)
        if metrics.tasks_left.total() > len(self.given_up):
            assert model.falls("stubborn"), "given up too early"
            model.windows.pop("stubborn")
            assert model.waiting is not None
            self.given_up.add(model.waiting[0])
            model.waiting = None
            model.go_on()
        while journal:
            name = journal.pop(0)
            if name == "lost":
                assert not self.transport.aborted or model.falls("socket"), "aborted too early"
                model.windows.pop("socket", None)
                kept = model.inbox[-1] if model.inbox else None
                model.finish(kept.value if kept is not None and kept.kind == "close" else 1006)
            elif name in self.given_up:
                continue
            else:
                assert model.waiting is not None
                ended, model.waiting = model.waiting, None
                assert ended[0] == name
                model.windows.pop("handler", None)
                model.windows.pop("stubborn", None)
                if ended != self.expired:
                    model.finished(*ended)
                model.go_on()
        if metrics.closes and model.state is not State.CLOSED:
            (code,) = metrics.closes
            cause = {1011: "pong", 1008: "message"}.get(code)
            assert model.falls(cause) if cause else (code == 1013 and metrics.overflows["disconnect"]), code
            if code == 1013:
                model.lose_place()
            model.fail(code)

    def compare(self) -> None:
        """Hold the connection against the model."""
        model, node, connection = self.model, self.node, self.connection
        assert not self.faults
        assert self.probe.events == model.log
        assert connection._state == model.state
        assert node.metrics.closes == ({} if model.code is None else {model.code: 1})
        model.skip_ping()
        late = {name for name, window in model.windows.items() if window[1] < self.clock.now}
        if not self.transport.is_reading():
            late.discard("pong")
        if model.waiting:
            late.discard("message")
        assert not late, "a time limit did not fall"
        members = (connection,) if model.state is State.OPEN else ()
        assert (node.members("g"), node.connections()) == (members, members)
        # One message over the limit; and the newest of each of two keys.
        bound = LIMITS["send_queue_bytes"] + 3100 * (3 if self.overflow == "conflate" else 1)
        assert max(connection.queued_bytes, self.probe.most_queued) <= bound
        self.compare_wire()

    def compare_wire(self) -> None:
        """The peer has read legal frames, nothing after a close frame, and the messages in order."""
        model = self.model
        data, pongs, closes = take_apart(self.transport.wire)
        assert not closes or closes == [model.sent_close]
        own = [message for message in data if message[:1].isdigit()]
        published = [message[:6] for message in data if message[:1] == b"P"]
        assert all(earlier < later for earlier, later in pairwise(published))
        assert all(earlier < later for earlier, later in pairwise(own))
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
            self.time_passes(40)
            assert not self.clock.timers(), "timers are left"
            assert State.CLOSED not in self.probe.ticks
        finally:
            self.clock.run_until_complete(self.node.stop())
            for _ in range(3):
                for task in asyncio.all_tasks(self.clock):
                    task.cancel()
                self.clock.settle()
            self.clock.close()

    timeouts = 0
    expired: tuple[str, str] | None = None
