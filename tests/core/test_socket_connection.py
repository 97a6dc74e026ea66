"""Tests of a connection's life: the order of its events, and every way it can end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import HANDLED, Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTE = """
listen: {{drain_seconds: 0}}
routes:
  - path: /t
    handlers: [probe]
    allow_missing_origin: true
    message_types: [{types}]
    limits: {{{limits}}}
"""


def config(limits: str = "", types: str = "text, binary") -> str:
    """Give a configuration with one route."""
    return ROUTE.format(limits=limits, types=types)


class Probe(Handler):
    """A handler that notes its events; a message that names a deed makes it do that."""

    events: list[Any]
    release: asyncio.Event

    def on_open(self, connection: Connection) -> None:
        """Note it."""
        type(self).events.append("open")

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Note it, and do what it says."""
        type(self).events.append(message)
        if message == "raise":
            raise ValueError("as told")
        if message == "close":
            connection.close(4000, "as told")
        if message == "wait":
            return self.release.wait()
        if message == "wait and fail":
            return self._wait_and_fail()
        if message == "nap":
            return self._nap(connection)
        if isinstance(message, str) and message.startswith("say "):
            connection.send(message[4:])
        return HANDLED

    async def _wait_and_fail(self) -> None:
        await self.release.wait()
        raise ValueError("after a wait")

    async def _nap(self, connection: Connection) -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        connection.send("rested")

    def on_close(self, connection: Connection, code: int, reason: str) -> None:
        """Note it."""
        type(self).events.append(("close", code, reason))
        connection.send("nowhere")


@pytest.fixture
def probe() -> type[Probe]:
    """Give a handler class of this test's own."""
    return type("ProbeOfTest", (Probe,), {"events": [], "release": asyncio.Event()})


async def closed(probe: type[Probe], until: Callable) -> tuple[int, str]:
    """Wait for the close event, and give its code and reason; there is only one."""
    await until(lambda: probe.events and isinstance(probe.events[-1], tuple))
    assert [isinstance(event, tuple) for event in probe.events].count(True) == 1
    return probe.events[-1][1:]


async def test_events_come_in_order(serve_gateway, open_raw, until, probe) -> None:
    """Open, the messages in their order, close: text as str, binary as bytes."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("a")
    client.frame(2, b"b")
    client.text("")
    client.close(1000, "bye")
    assert await client.receive_close() == (1000, "")
    await client.receive_end()
    assert await closed(probe, until) == (1000, "bye")
    assert probe.events == ["open", "a", b"b", "", ("close", 1000, "bye")]
    assert server.node.metrics.closes == {1000: 1}


async def test_empty_close_is_answered_with_an_empty_one(serve_gateway, open_raw, until, probe) -> None:
    """A close frame without a code is 1005 to the handler, and answered without a code."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.close(None)
    assert await client.receive_close() == (None, "")
    assert await closed(probe, until) == (1005, "")


async def test_what_follows_a_close_is_ignored(serve_gateway, open_raw, until, probe) -> None:
    """Bytes behind a close frame reach no handler."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.close(1000)
    client.text("late")
    client.write(b"\xff\xff\xff")
    assert await client.receive_close() == (1000, "")
    assert await closed(probe, until) == (1000, "")
    assert probe.events == ["open", ("close", 1000, "")]


async def test_handler_closes(serve_gateway, open_raw, until, probe) -> None:
    """A handler's close is sent; messages after it are ignored; the peer's answer is the close event."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("close")
    client.text("too late")
    assert await client.receive_close() == (4000, "as told")
    assert server.node.connections() == ()
    client.close(4000, "as told")
    await client.receive_end()
    assert await closed(probe, until) == (4000, "as told")
    assert probe.events == ["open", "close", ("close", 4000, "as told")]


async def test_unanswered_close_ends_at_its_deadline(serve_gateway, open_raw, until, probe) -> None:
    """A peer that never answers our close is cut off, and the event's code is 1006."""
    server = await serve_gateway(config("close_timeout_seconds: 0.05"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("close")
    assert await client.receive_close() == (4000, "as told")
    assert await closed(probe, until) == (1006, "")
    await until(lambda: not server.node.sockets)


@pytest.mark.parametrize("how", ["eof", "reset"])
@pytest.mark.parametrize("state", ["open", "closing"])
async def test_lost_connection(serve_gateway, open_raw, until, probe, how, state) -> None:
    """TCP that ends without a closing handshake is 1006, in any state, once."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    if state == "closing":
        client.text("close")
        await client.receive_close()
    else:
        client.text("say hi")
        await client.receive_text()
    if how == "eof":
        client.writer.close()
    else:
        client.abort()
    assert await closed(probe, until) == (1006, "")
    await until(lambda: not server.node.sockets)
    assert server.node.connections() == ()


VIOLATIONS = {
    "not masked": (b"\x81\x01a", 1002),
    "reserved bit": (b"\xc1\x80\x00\x00\x00\x00", 1002),
    "unknown opcode": (b"\x83\x80\x00\x00\x00\x00", 1002),
    "fragmented ping": (b"\x09\x80\x00\x00\x00\x00", 1002),
    "long ping": (b"\x89\xfe\x00\x7e", 1002),
    "length not minimal": (b"\x81\xfe\x00\x01", 1002),
    "stray continuation": (b"\x80\x80\x00\x00\x00\x00", 1002),
    "message in a message": (b"\x01\x80\x00\x00\x00\x00\x81\x80\x00\x00\x00\x00", 1002),
    "declared length over the limit": (b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01", 1009),
    "text that is not UTF-8": (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
    "close with one byte": (b"\x88\x81\x00\x00\x00\x00\x03", 1002),
    "close code 1005": (b"\x88\x82\x00\x00\x00\x00\x03\xed", 1002),
    "close reason that is not UTF-8": (b"\x88\x83\x00\x00\x00\x00\x03\xe8\xff", 1007),
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_violation(serve_gateway, open_raw, until, probe, name) -> None:
    """A broken rule ends the connection with its code; what came before it was handled, it itself is not."""
    wire, code = VIOLATIONS[name]
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("before")
    client.write(wire)
    assert (await client.receive_close())[0] == code
    await client.receive_end()
    assert (await closed(probe, until))[0] == code
    assert probe.events[:-1] == ["open", "before"]


async def test_too_many_fragments(serve_gateway, open_raw, until, probe) -> None:
    """A message in more than `max_fragments` frames ends the connection with 1008."""
    server = await serve_gateway(config("max_fragments: 3"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.frame(1, b"a", fin=False)
    client.frame(0, b"b", fin=False)
    client.frame(0, b"c")
    for index in range(4):
        client.frame(0 if index else 1, b"x", fin=False)
    assert (await client.receive_close())[0] == 1008
    await closed(probe, until)
    assert probe.events[:2] == ["open", "abc"]


async def test_unfinished_message_ends_at_its_deadline(serve_gateway, open_raw, until, probe) -> None:
    """A message that began and does not end is 1008, though pings go on; a finished one is not."""
    server = await serve_gateway(config("message_timeout_seconds: 0.1"), handlers={"probe": probe})
    patient = await open_raw(server, "/t")
    patient.frame(1, b"sa", fin=False)
    patient.frame(0, b"y done")
    assert await patient.receive_text() == "done"
    client = await open_raw(server, "/t")
    client.frame(1, b"never", fin=False)
    client.frame(9, b"still here")
    assert await client.receive() == (10, b"still here")
    assert (await client.receive_close())[0] == 1008
    patient.text("say still open")
    assert await patient.receive_text() == "still open"


async def test_half_a_frame_header_ends_at_its_deadline(serve_gateway, open_raw, until, probe) -> None:
    """A single byte of a frame, and then silence, is 1008 at the deadline."""
    server = await serve_gateway(config("message_timeout_seconds: 0.1"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.write(b"\x81")
    assert (await client.receive_close())[0] == 1008


@pytest.mark.parametrize(("types", "opcode"), [("text", 2), ("binary", 1)])
async def test_wrong_type(serve_gateway, open_raw, until, probe, types, opcode) -> None:
    """A route that takes one type of message answers the other with 1003."""
    server = await serve_gateway(config(types=types), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.frame(opcode, b"x")
    assert (await client.receive_close())[0] == 1003
    await closed(probe, until)
    assert probe.events == ["open", ("close", 1003, probe.events[-1][2])]


async def test_pings_are_answered(serve_gateway, open_raw, probe) -> None:
    """Each ping gets its payload back, in order, also inside a fragmented message."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.frame(1, b"say ", fin=False)
    for index in range(10):
        client.frame(9, b"%d" % index)
    client.frame(0, b"whole")
    assert [await client.receive() for _ in range(10)] == [(10, b"%d" % index) for index in range(10)]
    assert await client.receive_text() == "whole"


async def test_ping_flood(serve_gateway, open_raw, until, probe) -> None:
    """Pings over the rate end the connection with 1008."""
    server = await serve_gateway(config("max_pings_per_second: 5"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    for _ in range(20):
        client.frame(9)
    for _ in range(5):
        assert (await client.receive())[0] == 10
    assert (await client.receive_close())[0] == 1008


async def test_missing_pong(serve_gateway, open_raw, until, probe) -> None:
    """A peer that answers no ping is closed with 1011 and then cut off."""
    limits = "ping_interval_seconds: 0.05, pong_timeout_seconds: 0.1"
    server = await serve_gateway(config(limits), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    assert await client.receive() == (9, b"")
    assert await client.receive_close() == (1011, "no pong in time")
    assert await closed(probe, until) == (1011, "no pong in time")
    await until(lambda: not server.node.sockets)


async def test_pongs_keep_a_connection_and_measure_it(serve_gateway, open_raw, until, probe) -> None:
    """A peer that answers stays, and its round-trip time is known."""
    limits = "ping_interval_seconds: 0.05, pong_timeout_seconds: 0.2"
    server = await serve_gateway(config(limits), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    for _ in range(8):
        assert await client.receive() == (9, b"")
        client.frame(10)
    (connection,) = server.node.connections()
    await until(lambda: connection.round_trip_seconds is not None)
    assert 0 < connection.round_trip_seconds < 0.2


@pytest.mark.parametrize("deed", ["raise", "wait and fail"])
async def test_failing_handler_ends_its_connection_only(serve_gateway, open_raw, until, probe, deed) -> None:
    """An event that raises is 1011 for its connection, and a log line with handler, file and line."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    witness = await open_raw(server, "/t")
    client = await open_raw(server, "/t")
    client.text(deed)
    client.text("never seen")
    await until(lambda: deed in probe.events)
    probe.release.set()
    assert await client.receive_close() == (1011, "internal error")
    await client.receive_end()
    assert await closed(probe, until) == (1011, "internal error")
    assert "never seen" not in probe.events
    (line,) = [line for line in server.log if line["event"] == "handler_failed"]
    assert line["handler"] == "probe"
    assert "test_socket_connection.py:" in line["where"]
    assert server.node.metrics.handler_errors == 1
    witness.text("say well")
    assert await witness.receive_text() == "well"


async def test_messages_wait_while_a_handler_waits(serve_gateway, open_raw, until, probe) -> None:
    """While an event waits, later messages are kept in order, pings are answered, others are served."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    witness = await open_raw(server, "/t")
    client = await open_raw(server, "/t")
    client.text("wait")
    client.text("say one")
    client.text("say two")
    client.frame(9, b"ping")
    assert await client.receive() == (10, b"ping")
    witness.text("say meanwhile")
    assert await witness.receive_text() == "meanwhile"
    assert "say one" not in probe.events
    probe.release.set()
    assert await client.receive_text() == "one"
    assert await client.receive_text() == "two"


async def test_socket_is_not_read_past_the_backlog(serve_gateway, open_raw, until, probe) -> None:
    """While an event waits, `receive_backlog` messages are kept, then the peer stalls; all come."""
    server = await serve_gateway(config("receive_backlog: 4"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait")
    await until(lambda: "wait" in probe.events)
    message = "x" * 60000
    count = 400
    for _ in range(count):
        client.text(message)
    (connection,) = server.node.connections()
    await until(lambda: not connection._transport.is_reading())
    assert len(connection._backlog) <= 4
    assert client.writer.transport.get_write_buffer_size() > count * 60000 / 3
    probe.release.set()
    client.text("say all")
    assert await client.receive_text() == "all"
    assert probe.events.count(message) == count


async def test_close_event_comes_after_the_messages_before_it(serve_gateway, open_raw, until, probe) -> None:
    """A close that arrives while an event waits is raised after the messages that came before it."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait")
    client.text("kept")
    client.close(1000)
    await until(lambda: "wait" in probe.events)
    probe.release.set()
    assert await client.receive_close() == (1000, "")
    assert await closed(probe, until) == (1000, "")
    assert probe.events == ["open", "wait", "kept", ("close", 1000, "")]


async def test_lost_while_a_handler_waits(serve_gateway, open_raw, until, probe) -> None:
    """The close event of a connection that is lost comes when the waiting event has ended."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait")
    await until(lambda: "wait" in probe.events)
    client.abort()
    await until(lambda: not server.node.sockets)
    assert probe.events[-1] == "wait"
    probe.release.set()
    assert await closed(probe, until) == (1006, "")


async def test_event_past_its_deadline(serve_gateway, open_raw, until, probe) -> None:
    """An event that waits too long is cancelled, and its connection closed with 1011."""
    server = await serve_gateway(config("handler_timeout_seconds: 0.05"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait and fail")
    assert await client.receive_close() == (1011, "internal error")
    assert await closed(probe, until) == (1011, "internal error")
    (line,) = [line for line in server.log if line["event"] == "handler_timeout"]
    assert "test_socket_connection.py:" in line["where"]
    assert server.node.metrics.handler_timeouts == 1


async def test_async_event_that_does_not_really_wait(serve_gateway, open_raw, probe) -> None:
    """A coroutine with `asyncio.timeout` and a bare yield is answered in order with plain events."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("nap")
    client.text("say after")
    assert await client.receive_text() == "rested"
    assert await client.receive_text() == "after"


@pytest.mark.parametrize(
    ("overflow", "expected"), [("disconnect", "1013"), ("drop_newest", "first"), ("drop_oldest", "last")]
)
async def test_peer_that_stops_reading(serve_gateway, open_raw, until, probe, overflow, expected) -> None:
    """At a full send queue the policy acts on the slow peer, and its group's other members lose nothing."""
    yaml = config("send_queue_bytes: 200000") + f"    overflow: {overflow}\n    groups: [g]\n"
    server = await serve_gateway(yaml, handlers={"probe": probe})
    slow = await open_raw(server, "/t", limit=1000)
    (slow_connection,) = server.node.connections()
    witness = await open_raw(server, "/t", limit=2**24)
    total = 2000
    received: list[int] = []

    async def read() -> None:
        while len(received) < total:
            received.append(int((await witness.receive_text())[:8]))

    reading = asyncio.create_task(read())
    slow.writer.transport.pause_reading()
    for index in range(total):
        server.node.publish("g", f"{index:08d}" + "x" * 20000)
        await asyncio.sleep(0)
        assert slow_connection.queued_bytes < 400_000
    await reading
    assert received == list(range(total))
    assert server.node.metrics.overflows[overflow] >= 1
    slow.writer.transport.resume_reading()
    if expected == "1013":
        assert await closed(probe, until) == (1013, "the send queue is full")
        return
    server.node.publish("g", "end")
    numbers = []
    while True:
        message = await slow.receive_text()
        if message == "end":
            break
        numbers.append(int(message[:8]))
        if expected == "first" and slow_connection.queued_bytes == 0 and len(numbers) > 5:
            server.node.publish("g", "end")
    assert numbers == sorted(set(numbers))
    assert len(numbers) < total
    if expected == "last":
        assert numbers[-1] == total - 1


async def test_drain(serve_gateway, open_raw, until, probe) -> None:
    """A stop closes every connection with 1001, waits for the answers, and raises each close event."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    clients = [await open_raw(server, "/t") for _ in range(5)]
    await until(lambda: probe.events.count("open") == 5)
    stopping = asyncio.create_task(server.node.drain(1001, "the gateway stops", 0.05, 5))
    for client in clients:
        assert await client.receive_close() == (1001, "the gateway stops")
        client.close(1001)
    await stopping
    assert probe.events.count(("close", 1001, "")) == 5
    assert not server.node.sockets


async def test_drain_does_not_wait_for_ever(serve_gateway, open_raw, until, probe) -> None:
    """A peer that does not answer, and an event that never ends, do not hold a stop up past its grace."""
    server = await serve_gateway(config(), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait")
    await until(lambda: "wait" in probe.events)
    await server.node.drain(1001, "the gateway stops", 0, 0.1)
    assert not server.node.sockets
    assert not server.node.event_tasks


async def test_unfinished_message_has_time_while_a_handler_waits(
    serve_gateway, open_raw, until, probe
) -> None:
    """A message that began before a handler waited is not late because the gateway did not read on."""
    server = await serve_gateway(config("message_timeout_seconds: 0.1"), handlers={"probe": probe})
    client = await open_raw(server, "/t")
    client.text("wait")
    client.frame(1, b"say ", fin=False)
    await until(lambda: "wait" in probe.events)
    deadlines = server.node.deadlines(0.1, type(server.node.connections()[0])._message_late)
    await until(lambda: len(deadlines) == 1)
    first = next(iter(deadlines._items.values()))
    await until(lambda: next(iter(deadlines._items.values()), first) > first)
    client.frame(0, b"whole")
    probe.release.set()
    assert await client.receive_text() == "whole"
