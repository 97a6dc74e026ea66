"""Tests of several workers: who serves, what follows when one dies or hangs, and the broker between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any


async def test_two_workers_are_one_gateway(crew: Callable[..., Awaitable[Any]]) -> None:
    """They share the port evenly and a group wholly; it prints its addresses once, and ends cleanly."""
    gateway = await crew()
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        assert clients.keys() == set(gateway.workers.values())
        first, second = clients.values()
        await gateway.reaches(first, second)
    counts: Counter[str] = Counter()
    for _ in range(20):
        async with AsyncExitStack() as stack:
            some = [await stack.enter_async_context(gateway.connect()) for _ in range(20)]
            counts.update([str(await client.recv()) for client in some])
    assert counts.total() == 400
    assert min(counts.values()) >= 160, counts
    assert len(counts) == 2

    nodes = {line["node"] for line in gateway.run.events if line["event"] == "started"}
    assert len(nodes) == 2
    assert {line["worker"] for line in gateway.run.events if line["event"] == "started"} == {0, 1}
    assert gateway.run.printed == [f"ws    ws://127.0.0.1:{gateway.address[1]}/crew"]
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        # As Ctrl-C does on a terminal: it is for the supervisor, which tells the workers.
        os.killpg(gateway.run.process.pid, signal.SIGINT)
        for client in clients.values():
            async with asyncio.timeout(10):
                await client.wait_closed()
            assert client.close_code == 1001
    assert await gateway.run.exit_status() == 0
    await gateway.all_gone()
    # The broker has outlived the workers, too.
    assert [line for line in gateway.run.events if line["level"] in {"warning", "error"}] == []
    assert len(gateway.run.events) == len(gateway.run.log)


async def test_what_dies_is_replaced(
    crew: Callable[..., Awaitable[Any]], write: Callable[[str], Path], folder: Path
) -> None:
    """Another worker serves within five seconds; survivors notice nothing; who comes meanwhile waits.

    The new worker serves what the others do, although the file has changed meanwhile. One whose plugin fails
    is tried again until it serves. When the embedded broker is killed, another takes its place, and
    publications arrive again.
    """
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    gateway = await crew()
    # Where the machine is so busy that a start takes longer, the next one may take as long.
    limit = max(5, 2 * (loop.time() - begun_at))

    def failures() -> list[dict[str, Any]]:
        return [line for line in gateway.run.events if line["event"] == "worker_start_failed"]

    write("routes: [{path: /other}]\nlisten: {tls: {}}")
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        victim = gateway.workers[0]
        survivor = clients[gateway.workers[1]]
        killed_at = loop.time()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            await clients[victim].recv()
        coming = [stack.enter_async_context(gateway.connect()) for _ in range(20)]
        newcomers = {int(await client.recv()): client for client in await asyncio.gather(*coming)}
        successor = await gateway.replaced(0, victim)
        assert loop.time() - killed_at < limit
        assert newcomers.keys() == {successor, gateway.workers[1]}
        await gateway.reaches(survivor, newcomers[successor])
        # The next one in the same slot, right after the first.
        (folder / "fail").touch()
        os.kill(successor, signal.SIGKILL)
        await gateway.run.until(lambda: len(failures()) == 2)
        assert {line["worker"] for line in failures()} == {0}
        assert failures()[0]["reason"].endswith("hook gateway_start failed: OSError: told to fail")
        assert "crew_module.py" in failures()[0]["exception"]
        (folder / "fail").unlink()
        await gateway.replaced(0, successor)
        await survivor.send("still here")
        while (message := await survivor.recv()) != "still here":
            assert message == "all hello"
        (broker,) = gateway.started("embedded_broker_started")
        first, second = (await gateway.one_of_each(stack)).values()
        os.kill(broker, signal.SIGKILL)
        await gateway.run.until(lambda: len(gateway.started("embedded_broker_started")) == 2)
        await gateway.reaches(first, second)
    died = [line for line in gateway.run.events if line["event"] == "worker_died"]
    assert [(line["worker"], line["pid"], line["signal"]) for line in died] == [
        (0, victim, "SIGKILL"),
        (0, successor, "SIGKILL"),
    ]
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 0
    await gateway.all_gone([victim, successor, broker])


async def test_a_worker_that_hangs_is_replaced(crew: Callable[..., Awaitable[Any]]) -> None:
    """One whose loop is blocked is killed, and the log says where it hung; so is one that is stopped."""
    gateway = await crew("worker_hang_seconds: 1")
    async with AsyncExitStack() as stack:
        clients = await gateway.one_of_each(stack)
        blocked, stopped = gateway.workers[0], gateway.workers[1]
        await clients[blocked].send("hang")
        os.kill(stopped, signal.SIGSTOP)
        for slot, former in ((0, blocked), (1, stopped)):
            await gateway.replaced(slot, former)
    hung = {line["pid"]: line for line in gateway.run.events if line["event"] == "worker_hung"}
    assert hung.keys() == {blocked, stopped}
    assert all(line["seconds"] >= 1 for line in hung.values())
    assert any("crew_module.py" in line and "on_message" in line for line in hung[blocked]["stack"])
    assert hung[stopped]["stack"] == []
    async with AsyncExitStack() as stack:
        assert (await gateway.one_of_each(stack)).keys() == set(gateway.workers.values())
    # Nor does a stop wait for one that cannot drain; the exit status tells of it.
    os.kill(gateway.workers[1], signal.SIGSTOP)
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 1
    assert gateway.run.events[-1]["event"] == "workers_stopped"
    await gateway.all_gone([blocked, stopped])
