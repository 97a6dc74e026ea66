"""Tests of plugins that never return at their start or stop, or leave threads: the gateway ends anyway."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

# A handler that does as a file in the working directory is named.
SOURCE = """
    import asyncio
    import pathlib
    import time
    from concurrent.futures import ThreadPoolExecutor

    import gateway

    pool = ThreadPoolExecutor(1)

    async def hang(event):
        if pathlib.Path(f"{event}_waits").exists():
            await asyncio.Event().wait()
        if pathlib.Path(f"{event}_blocks").exists():
            time.sleep(1000)

    class Stubborn(gateway.Handler):
        async def on_start(self, node):
            await hang("start")

        async def on_stop(self):
            await hang("stop")

        def on_message(self, connection, message):
            if message == "pool":
                pool.submit(time.sleep, 1000)
            else:
                for _ in range(40):
                    asyncio.ensure_future(asyncio.to_thread(time.sleep, 1000))
            connection.send("done")

    @gateway.hookimpl
    def gateway_handlers():
        return {"stubborn": Stubborn}
"""


@pytest.fixture
def stubborn(install: Callable[..., None], crew: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """A function that starts a gateway with one worker and a route `/it` to the handler."""
    install("stubborn-plugin", "stubborn", SOURCE)

    async def start(*settings: str, ready: bool = True) -> Any:
        route = "  - {path: /it, allow_missing_origin: true, handlers: [stubborn]}"
        return await crew(*settings, workers=1, ready=ready, more=route)

    return start


async def ask(gateway: Any, text: str) -> str:
    """Send a message to the handler; give its answer."""
    from websockets.asyncio.client import connect  # noqa: PLC0415 - as the others are in the fixture

    async with connect(f"ws://127.0.0.1:{gateway.address[1]}/it", proxy=None) as client:
        await client.send(text)
        return str(await client.recv())


async def test_a_start_that_waits_for_ever(stubborn: Callable[..., Any], folder: Path) -> None:
    """The gateway does not start, in its time, and tells which plugin it waits for, with file and line."""
    (folder / "start_waits").touch()
    gateway = await stubborn("worker_start_seconds: 14", ready=False)
    assert await gateway.run.exit_status() == 1
    (late,) = [line for line in gateway.run.events if line["event"] == "start_timeout"]
    assert (late["plugin"], late["part"]) == ("stubborn", "handler 'stubborn' of route '/it'")
    assert "stubborn_module.py:" in late["where"]
    assert f"plugin 'stubborn' still waits after {late['seconds']:.3g} seconds" in gateway.run.log[-1]
    await gateway.all_gone()


async def test_a_start_that_blocks_for_ever(stubborn: Callable[..., Any], folder: Path) -> None:
    """The worker is killed in time, and the log has the stack where it stood."""
    (folder / "start_blocks").touch()
    gateway = await stubborn("worker_start_seconds: 10", ready=False)
    assert await gateway.run.exit_status() == 1
    (failed,) = [line for line in gateway.run.events if line["event"] == "start_failed"]
    assert "stubborn_module.py" in failed["exception"]
    assert "in on_start" in failed["exception"]
    assert gateway.run.log[-1] == "cannot start: a worker was not ready within 10 seconds"
    await gateway.all_gone()


@pytest.mark.timeout(240)  # ten processes start one after another
async def test_stops_that_wait_for_ever_hold_up_no_reload(stubborn: Callable[..., Any], folder: Path) -> None:
    """After three reloads whose workers wait for a plugin, a fourth is done, and then the gateway ends."""
    gateway = await stubborn()
    (folder / "stop_waits").touch()
    for count in range(1, 5):
        # Three former generations may drain at once; a fourth reload is refused until one of them has ended.
        async with asyncio.timeout(60):
            while not await reload(gateway):
                await gateway.gone(gateway.started("worker_started")[0])
        assert [line["event"] for line in gateway.run.events].count("reloaded") == count
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 0
    assert len(timeouts(gateway)) == 5
    assert {line["plugin"] for line in timeouts(gateway)} == {"stubborn"}
    assert all("stubborn_module.py:" in line["where"] for line in timeouts(gateway))
    assert gateway.run.events[-1]["event"] == "workers_stopped"
    await gateway.all_gone(gateway.started("worker_started"))


def timeouts(gateway: Any) -> list[dict[str, Any]]:
    """Give the lines of the log on stops that were given up."""
    return [line for line in gateway.run.events if line["event"] == "stop_timeout"]


async def reload(gateway: Any) -> bool:
    """Reload; tell whether it was done, or refused since former workers drain yet."""

    def outcomes() -> list[dict[str, Any]]:
        return [line for line in gateway.run.events if line["event"] in {"reloaded", "reload_failed"}]

    before = len(outcomes())
    gateway.run.signal(signal.SIGHUP)
    await gateway.run.until(lambda: len(outcomes()) > before)
    outcome = outcomes()[-1]
    if outcome["event"] == "reloaded":
        return True
    assert outcome["problems"] == ["the workers of 3 former reloads drain yet"]
    return False


async def test_a_stop_that_blocks_for_ever(stubborn: Callable[..., Any], folder: Path) -> None:
    """The worker is killed, the log has the stack where it stood, and the exit status tells of it."""
    gateway = await stubborn("worker_hang_seconds: 1")
    (folder / "stop_blocks").touch()
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 1
    (hung,) = [line for line in gateway.run.events if line["event"] == "worker_hung"]
    assert any("stubborn_module.py" in line for line in hung["stack"])
    await gateway.all_gone()


async def test_threads_hold_up_no_end(stubborn: Callable[..., Any]) -> None:
    """A process ends though functions run on in threads: the event loop's, and those of a plugin's pool.

    The log names those that would have held it up, which the event loop's are not.
    """
    gateway = await stubborn("worker_hang_seconds: 60")
    async with asyncio.timeout(30):
        assert [await ask(gateway, threads) for threads in ("pool", "loop")] == ["done", "done"]
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 0
    held = [line["threads"] for line in gateway.run.events if line["event"] == "end_held_up"]
    assert [list(names) for names in held] == [["ThreadPoolExecutor-0_0"]]
    await gateway.all_gone()
