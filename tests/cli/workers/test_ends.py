"""Tests of how several workers end: by signals in every order, by a failed start, and by SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any

OPENING = (
    b"GET /crew HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def readiness(address: tuple[str, int]) -> bytes:
    """Ask whether the gateway takes connections; give the first line of the answer."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address)
        with closing(writer):
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return await reader.readline()


async def test_a_signal_to_every_process_drains(crew: Callable[..., Awaitable[Any]]) -> None:
    """Where all processes get the signal, as by systemd, clients are told, and it exits with 0."""
    gateway = await crew()
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        for number in (signal.SIGINT, signal.SIGTERM):
            for pid in gateway.workers.values():
                os.kill(pid, number)
        os.killpg(gateway.run.process.pid, signal.SIGTERM)
        for client in clients.values():
            async with asyncio.timeout(10):
                await client.wait_closed()
            assert client.close_code in {1001, 1012}
    assert await gateway.run.exit_status() == 0
    await gateway.all_gone()


async def test_a_second_signal_does_not_wait(crew: Callable[..., Awaitable[Any]]) -> None:
    """While a worker waits for a client that does not answer, another signal ends all at once, with status 1.

    Until then it answers all who come: the worker that has ended already takes its share of the port along.
    """
    gateway = await crew()
    reader, writer = await asyncio.open_connection(*gateway.address)
    with closing(writer):
        writer.write(OPENING)
        await reader.readuntil(b"\r\n\r\n")
        waiting = int(await reader.readexactly((await reader.readexactly(2))[1]))
        (other,) = set(gateway.workers.values()) - {waiting}
        gateway.run.signal(signal.SIGTERM)
        await reader.readuntil(b"\x88\x13\x03\xe9")
        await gateway.gone(other)
        for _ in range(10):
            assert await readiness(gateway.address) == b"HTTP/1.1 503 Service Unavailable\r\n"
        gateway.run.signal(signal.SIGINT)
        assert await gateway.run.exit_status() == 1
    assert gateway.run.events[-1]["event"] == "stopped_at_once"
    await gateway.all_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_end_while_it_starts(
    crew: Callable[..., Awaitable[Any]], folder: Path, number: signal.Signals
) -> None:
    """A start that waits for a plugin is given up, with exit status 0; killed, it leaves nothing either."""
    (folder / "wait").touch()
    gateway = await crew(ready=False)
    await gateway.run.printed_lines(2)
    session = gateway.run.session()
    assert len(session) == 4
    gateway.run.signal(number)
    assert await gateway.run.exit_status() == (0 if number == signal.SIGTERM else -number)
    await gateway.all_gone(session)
    told = ["workers_stopping", "start_cancelled", "start_cancelled", "workers_stopped"]
    events = [line["event"] for line in gateway.run.events if "broker" not in line["event"]]
    assert events == (told if number == signal.SIGTERM else [])
    # Two processes write at the same time, and their lines may run into each other.
    assert "".join(gateway.run.printed) == "waitingwaiting"


async def test_a_failed_start_ends_all(crew: Callable[..., Awaitable[Any]], folder: Path) -> None:
    """If a plugin fails at the first start, that is told once, nothing stays, and the exit status is 1."""
    (folder / "fail").touch()
    gateway = await crew(ready=False)
    assert await gateway.run.exit_status() == 1
    assert gateway.run.session() == []
    assert gateway.run.printed == []
    fact = "plugin 'crew' of distribution 'crew-plugin': hook gateway_start failed: OSError: told to fail"
    assert gateway.run.log[-1] == f"cannot start: {fact}"
    failed = [line for line in gateway.run.events if line["level"] == "error"]
    assert [line["event"] for line in failed] == ["start_failed"]
    assert "crew_module.py" in failed[0]["exception"]


async def test_nothing_outlives_the_supervisor(crew: Callable[..., Awaitable[Any]]) -> None:
    """A supervisor that is killed takes its workers and the broker along, whatever state they are in."""
    gateway = await crew()
    supervisor, blocked, stopped, broker = pids = gateway.pids
    assert set(pids) == set(gateway.run.session())
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        await clients[blocked].send("hang")
        await gateway.run.until(lambda: "hanging" in gateway.run.printed)
        for pid in (stopped, broker):
            os.kill(pid, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
    assert await gateway.run.exit_status() == -signal.SIGKILL
    await gateway.all_gone(pids)
