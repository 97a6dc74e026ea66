"""Tests of the send queue that members of a group share: nobody notices but the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Node
from gateway.broker.memory import MemoryBroker
from gateway.config.models import RouteConfig
from gateway.core.dispatch import Dispatch
from gateway.core.route import Route
from gateway.core.shared_frames import EAGER_BYTES, SharedFrames
from gateway.core.socket_connection import SocketConnection
from gateway.observe.logs import make_logger
from gateway.protocol.encoding import encode_message
from gateway.protocol.origin import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS = 6
GROUPS = ("a", "b")

member = st.integers(0, MEMBERS - 1)
group = st.sampled_from(GROUPS)
# Most are short; sixty of the long ones, or two of the longest, are too much for one turn.
size = st.sampled_from((0, 3, 200, EAGER_BYTES // 60, EAGER_BYTES // 2 + 1))
deed = st.one_of(
    st.tuples(st.just("publish"), group, size, st.none() | member),
    st.tuples(st.just("publish"), group, size, st.none()),
    st.tuples(st.just("send"), member, size),
    st.tuples(st.just("join"), member, group),
    st.tuples(st.just("leave"), member, group),
    st.tuples(st.just("ping"), member),
    st.tuples(st.just("pause"), member),
    st.tuples(st.just("resume"), member),
    st.tuples(st.just("close"), member),
    st.just(("turn",)),
)


class Transport:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Say that nothing waits."""
        return 0

    def is_closing(self) -> bool:
        """Say no."""
        return False


async def make_node() -> Node:
    """Give a started node."""
    node = Node(MemoryBroker(), make_logger("error"))
    await node.start()
    return node


def make_route() -> Route:
    """Give a route whose members have room for all that a test publishes."""
    limits = {"send_queue_bytes": 1 << 30, "ping_interval_seconds": 0}
    config = RouteConfig.model_validate({"path": "/t", "groups": GROUPS, "limits": limits})
    return Route(config, Dispatch([]), OriginPolicy.from_config(("*",), missing=True), ())


def make_connection(node: Node, route: Route) -> SocketConnection:
    """Give an open connection with a transport of its own."""
    made: dict[str, Any] = {"params": {}, "remote": "", "identity": None, "subprotocol": None}
    connection = SocketConnection(
        node=node, route=route, transport=Transport(), head=b"GET /t HTTP/1.1", **made
    )
    connection.open(b"")
    return connection


class World:
    """Connections, and what each of them has to have been sent."""

    def __init__(self, node: Node) -> None:
        self.node = node
        route = make_route()
        self.connections = [make_connection(node, route) for _ in range(MEMBERS)]
        self.expected: list[list[bytes]] = [[] for _ in range(MEMBERS)]
        self.members = {name: set(range(MEMBERS)) for name in GROUPS}
        self.serial = 0

    def message(self, length: int) -> str:
        """Give a text unlike any other."""
        self.serial += 1
        return f"{self.serial}:".ljust(length, ".")

    def publish(self, name: str, length: int, excluded: int | None) -> None:
        """Publish, and judge how many got it."""
        message = self.message(length)
        exclude = None if excluded is None else self.connections[excluded]
        receivers = self.members[name] - {excluded}
        assert self.node.publish(name, message, exclude=exclude) == len(receivers)
        for index in receivers:
            self.expected[index].append(encode_message(message))

    def send(self, index: int, length: int) -> None:
        """Send to one connection."""
        message = self.message(length)
        if self.connections[index].is_open:
            self.expected[index].append(encode_message(message))
        self.connections[index].send(message)

    def join(self, index: int, name: str) -> None:
        """Join a group."""
        self.connections[index].join(name)
        if self.connections[index].is_open:
            self.members[name].add(index)

    def leave(self, index: int, name: str) -> None:
        """Leave a group."""
        self.connections[index].leave(name)
        self.members[name].discard(index)

    def ping(self, index: int) -> None:
        """Have the client ping."""
        if self.connections[index].is_open:
            self.connections[index].data_received(b"\x89\x80\0\0\0\0")
            if not self.connections[index]._write_paused:
                self.expected[index].append(b"\x8a\x00")
            elif self.connections[index]._pinged is not None:
                self.connections[index]._pinged.pong = None  # the model knows nothing of late pongs

    def pause(self, index: int) -> None:
        """Have the transport ask for a pause."""
        self.connections[index].pause_writing()

    def resume(self, index: int) -> None:
        """Have the transport take more."""
        self.connections[index].resume_writing()

    def close(self, index: int) -> None:
        """Begin the closing handshake."""
        if self.connections[index].is_open:
            self.expected[index].append(b"\x88\x02\x03\xe8")
            self.connections[index].close()
            for members in self.members.values():
                members.discard(index)

    def judge(self) -> None:
        """Compare what was written with what was sent."""
        for connection, frames in zip(self.connections, self.expected, strict=True):
            connection.resume_writing()
            assert connection._transport.written == b"".join(frames)
            assert connection.queued_bytes == 0


@given(deeds=st.lists(deed, max_size=40))
@settings(max_examples=150, deadline=None)
def test_each_gets_its_own_frames_in_order(deeds: list[tuple[Any, ...]]) -> None:
    """Whatever else happens in a turn, each connection is sent what is for it, once and in order."""

    async def run() -> None:
        world = World(await make_node())
        for name, *arguments in deeds:
            if name == "turn":
                await asyncio.sleep(0)
            else:
                getattr(world, name)(*arguments)
        await asyncio.sleep(0)
        world.judge()
        metrics = world.node.metrics
        assert metrics.bytes_out == sum(len(frame) for frames in world.expected for frame in frames)
        assert metrics.messages_out == sum(not frame[0] & 8 for frames in world.expected for frame in frames)
        await world.node.stop()

    asyncio.run(run())


@pytest.fixture
async def world() -> World:
    """Give a world of this test's own."""
    return World(await make_node())


async def test_publications_of_a_turn_share_one_queue(world: World) -> None:
    """Members for which nothing else waits have one list of frames between them, and none after the turn."""
    world.publish("a", 3, None)
    world.publish("a", 3, None)
    queues = {id(connection._queue) for connection in world.connections}
    assert len(queues) == 1
    assert isinstance(world.connections[0]._queue, SharedFrames)
    assert world.connections[0].queued_bytes == 10
    await asyncio.sleep(0)
    assert [connection._queue for connection in world.connections] == [None] * MEMBERS
    world.judge()


async def test_what_is_sent_to_one_member_costs_the_others_nothing(world: World) -> None:
    """A member that gets a message of its own leaves the shared queue; the others keep it."""
    world.publish("a", 3, None)
    world.send(2, 3)
    world.publish("a", 3, None)
    kinds = [type(connection._queue) for connection in world.connections]
    assert kinds == [SharedFrames, SharedFrames, list, SharedFrames, SharedFrames, SharedFrames]
    await asyncio.sleep(0)
    world.judge()


async def test_who_joins_within_a_turn_gets_what_comes_after(world: World) -> None:
    """A member that joins after a publication gets the next one of the same turn, and not the one before."""
    world.leave(3, "a")
    world.publish("a", 3, None)
    world.join(3, "a")
    world.publish("a", 3, None)
    assert [len(frames) for frames in world.expected] == [2, 2, 2, 1, 2, 2]
    await asyncio.sleep(0)
    world.judge()


async def test_who_is_flushed_within_a_turn_gets_what_comes_after(world: World) -> None:
    """A member whose queue is written before the turn's end gets the later publications of the turn too."""
    world.publish("a", 3, None)
    world.connections[4].flush()
    world.publish("a", 3, None)
    await asyncio.sleep(0)
    world.judge()


async def test_much_in_one_turn_is_written_before_its_end(world: World) -> None:
    """What members share is written once it is as much as a queue of their own may keep."""
    for _ in range(3):
        world.publish("a", EAGER_BYTES // 2, None)
    assert [len(one._transport.written) > EAGER_BYTES for one in world.connections] == [True] * MEMBERS
    await asyncio.sleep(0)
    world.judge()


async def test_a_paused_member_keeps_its_frames(world: World, count_lists: Callable[[], int]) -> None:
    """A member that is paused within the turn keeps the frames as its own beyond the turn's end."""
    world.publish("a", 3, None)
    world.pause(1)
    await asyncio.sleep(0)
    assert type(world.connections[1]._queue) is list
    world.publish("a", 3, None)
    await asyncio.sleep(0)
    assert count_lists() == 0
    world.judge()


@pytest.fixture
def count_lists(world: World) -> Callable[[], int]:
    """Give a function that counts the connections that share a queue."""
    return lambda: sum(isinstance(connection._queue, SharedFrames) for connection in world.connections)
