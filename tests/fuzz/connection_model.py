"""What a connection is expected to do: a second, plainer statement of its states, order and deadlines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from connection_probe import LIMITS, WAITING, Probe

from gateway.core.established_connection import State

if TYPE_CHECKING:
    from connection_clock import Clock

LINGER, BATCH = 1, 64


class Event(NamedTuple):
    """What one piece of the peer's bytes means: a message, a ping, a pong, a close or a violation."""

    kind: str
    value: Any = None


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
        self.told = self.paused = self.ping_out = self.soon = False

    def begin(self, name: str, seconds: float) -> None:
        """Expect a time limit to fall; sweeps of deadlines may come a little late."""
        earliest = self.clock.now + seconds
        window = (earliest - 1e-6, earliest + min(seconds / 10, 0.25) + 1e-6)
        if name == "socket":  # whichever comes first
            window = min(window, self.windows.get(name, window))
        self.windows[name] = window

    def read_on(self) -> None:
        """Read the socket again; meanwhile no pong was missed."""
        self.paused = False
        self.postpone("pong", LIMITS["pong_timeout_seconds"])

    def skip_ping(self) -> None:
        """Send no ping while another one is out, which is only so when pongs may lie unread."""
        earliest, latest = self.windows.get("ping", (0.0, self.clock.now))
        if self.ping_out and latest < self.clock.now:
            interval = LIMITS["ping_interval_seconds"]
            self.windows["ping"] = (earliest + interval, latest + interval)

    def postpone(self, name: str, seconds: float) -> None:
        """Give a time limit that fell while it did not count its time anew."""
        if self.falls(name):
            earliest, latest = self.windows[name]
            self.begin(name, seconds)
            self.windows[name] = (earliest, max(latest, self.windows[name][1]))

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
        """Ignore messages from now on, and send no pings."""
        self.windows.pop("ping", None)
        self.inbox = deque(event for event in self.inbox if event.kind != "message")

    def fail(self, code: int) -> None:
        """Say why, and end."""
        if self.state is State.OPEN:
            self.sent_close = code
        self.inbox.clear()
        if self.state is not State.CLOSED:
            self.finish(code)
            self.read_on()
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

    def deliver(self, events: list[Event], begun: int | None, more: bool) -> None:
        """Take what one read brings.

        Args:
            events: What it completes.
            begun: The item that has begun and not ended; `None` for none.
            more: Whether bytes come after the last event.
        """
        self.begun = begun
        if self.state is State.CLOSED:
            return
        if self.waiting:
            self.held += events
            room = max(LIMITS["receive_backlog"] - len(self.inbox), 0)
            batch, self.held = self.held[:room], self.held[room:]
            self.put_back(batch, unread=bool(self.held) or (more and len(batch) == room))
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
                    self.put_back(batch, unread=bool(events))
                    return

    def put_back(self, events: list[Event], *, unread: bool) -> None:
        """Keep events, but for those that overtake; where some lie unread behind them, read no more."""
        for event in events:
            if event.kind in {"ping", "pong"} or (self.state is not State.OPEN and event.kind != "message"):
                self.take(event)
            elif self.state is State.OPEN:
                self.inbox.append(event)
        if self.state is not State.CLOSED and (len(self.inbox) >= LIMITS["receive_backlog"] or unread):
            self.paused = True

    def go_on(self) -> None:
        """Take what was kept."""
        self.postpone("message", LIMITS["message_timeout_seconds"])
        while self.inbox and not self.waiting:
            self.take(self.inbox.popleft())
        if self.waiting:
            return
        if self.state is State.CLOSED:
            self.tell_close()
            return
        held, self.held = self.held, []
        self.consume(held)
        if not self.waiting and self.paused:
            self.read_on()
        self.watch()

    def watch(self) -> None:
        """Begin or end the time limit of an unfinished message."""
        target = self.begun if not self.paused and self.state is not State.CLOSED else None
        if target != self.watched:
            self.watched = target
            self.windows.pop("message", None)
            if target is not None:
                self.begin("message", LIMITS["message_timeout_seconds"])
