"""Tests of the worker's end of the line to the supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app.lifeline import SHOW_STACK, Errand, Leave, Lifeline, beat_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRAND = Errand(
    text="routes: []\n# für alle",
    host="127.0.0.1",
    port=8000,
    unix=None,
    beat_seconds=0.01,
    broker=("nats://127.0.0.1:1", "token", 1000),
    resume_key="k" * 64,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Lifeline]]:
    """The supervisor's socket, and the worker's end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, Lifeline(theirs)


async def say(ours: socket.socket, count: int = 1) -> list[Any]:
    """Wait until the worker has said so many things; give them."""
    told: list[Any] = []
    data = b""
    async with asyncio.timeout(20):
        while len(told) < count:
            data += await asyncio.get_running_loop().sock_recv(ours, 65_536)
            *lines, data = data.split(b"\n")
            told += [json.loads(line) for line in lines]
    return told


def test_the_errand_comes_whole(ends: tuple[socket.socket, Lifeline]) -> None:
    """What a worker needs arrives as it was sent, and what follows it is not lost."""
    ours, lifeline = ends
    ours.send(ERRAND.line() + b'{"order": "stop"}\n')
    assert lifeline.receive() == ERRAND
    assert lifeline._rest == b'{"order": "stop"}\n'


def test_a_supervisor_that_is_gone_sends_no_errand(ends: tuple[socket.socket, Lifeline]) -> None:
    """A worker whose supervisor died meanwhile does not wait for ever."""
    ours, lifeline = ends
    ours.send(ERRAND.line()[:-1])
    ours.close()
    with pytest.raises(EOFError):
        lifeline.receive()


async def test_it_says_that_it_lives_until_it_is_told_to_stop(ends: tuple[socket.socket, Lifeline]) -> None:
    """It beats again and again, says that it is ready, and leaves as it is told, in a line cut in two."""
    ours, lifeline = ends
    leaving: asyncio.Future[Leave] = asyncio.get_running_loop().create_future()
    lifeline.begin(0.005, leaving.set_result)
    assert await say(ours, 3) == [{"say": "alive"}] * 3
    lifeline.ready(node="n", serves_page=True)
    while {"say": "ready", "node": "n", "serves_page": True} not in await say(ours):
        pass
    loop = asyncio.get_running_loop()
    order = Leave(restart=True, hand_over=True)
    await loop.sock_sendall(ours, order.line()[:9])
    await say(ours, 2)
    assert not leaving.done()
    await loop.sock_sendall(ours, order.line()[9:])
    async with asyncio.timeout(20):
        assert await leaving == order
    lifeline.end()


async def test_it_does_not_wait_for_a_supervisor_that_does_not_read(
    ends: tuple[socket.socket, Lifeline],
) -> None:
    """When the line is full, the worker goes on."""
    ours, lifeline = ends
    lifeline._line.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            lifeline._line.send(b'{"say": "alive"}\n' * 1000)
    lifeline.begin(0.001, lambda: None)
    first = lifeline._beat
    async with asyncio.timeout(20):
        while lifeline._beat is first:
            await asyncio.sleep(0.001)
    lifeline.end()
    assert ours.recv(17) == b'{"say": "alive"}\n'


async def test_it_ends_with_the_supervisor(
    ends: tuple[socket.socket, Lifeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the line the worker kills itself."""
    ours, lifeline = ends
    killed = asyncio.get_running_loop().create_future()

    def kill(pid: int, number: int) -> None:
        if not killed.done():
            killed.set_result((pid, number))

    lifeline.begin(10, lambda: None)
    monkeypatch.setattr(os, "kill", kill)
    ours.close()
    async with asyncio.timeout(20):
        assert await killed == (os.getpid(), signal.SIGKILL)
    lifeline.end()


async def test_it_shows_its_stack(ends: tuple[socket.socket, Lifeline]) -> None:
    """On the signal it writes where it is, without its event loop."""
    ours, lifeline = ends
    lifeline.begin(10, lambda: None)
    os.kill(os.getpid(), SHOW_STACK)
    text = ours.recv(65_536).decode()
    assert "test_lifeline.py" in text
    assert "test_it_shows_its_stack" in text
    lifeline.end()


def test_a_failure_is_told_before_the_end(ends: tuple[socket.socket, Lifeline]) -> None:
    """A worker that cannot start says why, also before its event loop runs."""
    ours, lifeline = ends
    lifeline.failed("no such table", "Traceback")
    assert json.loads(ours.recv(1000)) == {"say": "failed", "message": "no such table", "trace": "Traceback"}
    ours.close()
    lifeline.failed("nobody hears it", "")


@pytest.mark.parametrize(("hang", "beat"), [(0.5, 0.125), (2, 0.5), (10, 1.0), (3600, 1.0)])
def test_several_beats_may_be_missed(hang: float, beat: float) -> None:
    """A worker is killed after four beats at the least."""
    assert beat_seconds(hang) == beat
