"""What fails between nodes and their brokers, and how they come back: over each engine."""

from __future__ import annotations

import asyncio
import secrets
import socket
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nodes import LINKED, Side, until
from tcp_proxy import TcpProxy

from gateway.broker.contract import BrokerUnavailableError, Publication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server_process import ServerProcess

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture(params=LINKED)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return request.param


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Any:
    """A server of the test's own."""
    return request.getfixturevalue(f"{kind}_server")()


@pytest.fixture
def make(side: MakeSide, kind: str) -> MakeSide:
    """A function that starts nodes of one gateway, which give up on a probe after a quarter of a second."""
    return partial(side, kind, prefix=secrets.token_hex(4), probe_timeout_seconds=0.25)


async def hear_each_other(*nodes: Side) -> None:
    """See that what each publishes arrives at all, once."""
    for node in nodes:
        await node.settled()
    for node in nodes:
        text = secrets.token_hex(4)
        node.broker.publish(Publication("news", text))
        assert [(await other.next()).message for other in nodes] == [text] * len(nodes)
    for node in nodes:
        await node.settled()
    assert all(node.nothing_more for node in nodes)


async def pair_at(make: MakeSide, first: str, second: str) -> tuple[Side, Side]:
    """Start two nodes with a member each, at these servers."""
    one, two = await make("one", urls=[first]), await make("two", urls=[second])
    for node in (one, two):
        node.join("news")
    return one, two


async def test_killed_and_back(server: Any, make: MakeSide) -> None:
    """Every node tells its gap, and what was subscribed meanwhile holds as well."""
    one, two = await pair_at(make, server.url, server.url)
    await hear_each_other(one, two)
    await asyncio.to_thread(server.kill)
    await until(lambda: not one.status.connected and not two.status.connected)
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await one.broker.claim("key", 60)
    two.join("other")
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps > 0 and two.gaps > 0)
    await hear_each_other(one, two)
    one.broker.publish(Publication("other", "x"))
    assert await two.next() == Publication("other", "x")
    assert (one.status.reconnects, two.status.reconnects) == (1, 1)


async def test_refused_at_first(kind: str, server: ServerProcess, make: MakeSide) -> None:
    """A node starts without its broker, and finds it when it comes; that is no reconnect, but a gap."""
    await asyncio.to_thread(server.kill)
    one = await make("one", urls=[server.url])
    one.join("news")
    assert not one.status.connected
    assert one.events("broker_unreachable")
    await asyncio.to_thread(server.start)
    await until(lambda: one.gaps == 1)
    await hear_each_other(one)
    assert one.status.reconnects == 0


async def test_held_with_its_connections_alive(server: Any, make: MakeSide) -> None:
    """TCP says that all is well; the probe finds out, and new connections are tried until it goes on."""
    one, two = await pair_at(make, server.url, server.url)
    await hear_each_other(one, two)
    server.hold()
    await until(lambda: not one.status.connected and not two.status.connected)
    assert one.events("broker_disconnected")[0]["why"] == "no answer to a probe in 0.25 seconds"
    server.release()
    await until(lambda: one.gaps > 0 and two.gaps > 0)
    await hear_each_other(one, two)


@pytest.mark.parametrize("cut", ["swallow", "break_off"])
async def test_cut_apart_and_joined(server: Any, make: MakeSide, cut: str) -> None:
    """A node behind a broken line misses something and knows it, whether the line ends or falls silent."""
    async with TcpProxy(server.port) as line:
        one, two = await pair_at(make, server.url, f"{urlsplit(server.url).scheme}://127.0.0.1:{line.port}")
        await hear_each_other(one, two)
        getattr(line, cut)()
        if cut == "swallow":
            one.broker.publish(Publication("news", "missed"))
            assert (await one.next()).message == "missed"
        await until(lambda: bool(two.events("broker_disconnected")))
        line.mend()
        await until(lambda: two.gaps == 1)
        await hear_each_other(one, two)
        assert (one.status.reconnects, two.status.reconnects) == (0, 1)


async def test_another_server_is_found(server: Any, make: MakeSide) -> None:
    """Of several servers those that refuse are passed over at once."""
    scheme = urlsplit(server.url).scheme
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        one = await make("one", urls=[f"{scheme}://127.0.0.1:{taken.getsockname()[1]}", server.url])
    assert one.status.connected
