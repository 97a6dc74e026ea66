"""Tests of the fault plugin: whatever it does, and when, only its own connections notice, and it is named."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from faults import EVENTS, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served

PLUGIN = "test-handlers"
EVENT_SECONDS = 0.2
GRACE_SECONDS = 0.1
BLOCK_SECONDS = 0.15
MEASURED = 150
# Less than this is the noise of a busy machine, and no harm.
FLOOR_SECONDS = 0.025
ATTEMPTS = 5
FAULTS = (
    "raises",
    "raises_later",
    "exits",
    "exits_later",
    "never_returns",
    "never_gives_up",
    "leaks",
    "leaks_later",
    "floods",
    "junk",
    "other_junk",
)
HARMLESS = {"leaks", "leaks_later"}
"""Those that no connection notices."""
LATE = {"never_returns", "never_gives_up", "floods"}
"""Those that the deadline ends."""
ROUTES = {f"/{event}" for event in EVENTS}
OWN = ("open", "message")
"""Events that end their own connection."""


def configuration(fault: str, *, seconds: float = 2.0, failures: int = 0) -> str:
    """Give a gateway with a route for each event at which something goes wrong, and one for the witness."""
    routes = [
        {
            "path": f"/{event}",
            "allow_missing_origin": True,
            "groups": ["room"] if event in {"join", "leave", "change"} else [],
            "handlers": [{"name": "fault", "options": {"fault": fault, "event": event, "seconds": seconds}}],
            "limits": {"send_queue_bytes": 100_000, "handler_timeout_seconds": 2 * EVENT_SECONDS},
        }
        for event in EVENTS
    ]
    witness = {"path": "/witness", "allow_missing_origin": True, "handlers": ["echo"]}
    return json.dumps(
        {
            "log": {"block_warning_seconds": BLOCK_SECONDS},
            "metrics": {"public": True},
            "routes": [*routes, witness],
            "groups": [{"pattern": "room", "presence": True}],
            "plugins": {
                PLUGIN: {
                    "limits": {
                        "event_timeout_seconds": EVENT_SECONDS,
                        "task_grace_seconds": GRACE_SECONDS,
                        "breaker": {"failures": failures, "pause_seconds": 0.2},
                    }
                }
            },
        }
    )


async def p99(witness: Client) -> float:
    """Give the 99th percentile of the witness's echoes."""
    times = []
    for number in range(MEASURED):
        began = time.perf_counter()
        assert await witness.ask(str(number)) == str(number)
        times.append(time.perf_counter() - began)
    return sorted(times)[MEASURED * 99 // 100]


async def bring_about(server: Served, fault: str, event: str) -> None:
    """Have an event happen at which something goes wrong; afterwards its connection is gone."""
    other = None
    client = await server.client(f"/{event}")
    if event in {"message", "change"}:
        await client.send(event)
    if event == "leave":
        other = await server.client("/leave")
        other.drop()
    if event in OWN and fault not in {*HARMLESS, "floods", "blocks"}:
        await client.expect_close(1011)
    elif event not in OWN:
        await client.arrive()
    client.drop()


def lines_of(server: Served, event: str) -> list[dict[str, Any]]:
    """Give the lines of the log of a kind that name the plugin."""
    return [line for line in server.log if line["event"] == event and line.get("plugin") == PLUGIN]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_every_event(serve_gateway: Callable[..., Awaitable[Served]], fault: str) -> None:
    """A witness keeps its pace, nothing is left of who is gone, and log and figures name the plugin."""
    server = await serve_gateway(configuration(fault), handlers={"fault": Fault})
    tasks = len(asyncio.all_tasks())
    async with server.client("/witness") as witness:
        for attempt in range(1, ATTEMPTS + 1):
            before = await p99(witness)
            faults = asyncio.gather(
                *(bring_about(server, fault, event) for event in EVENTS for _ in range(3))
            )
            during = await p99(witness)
            await faults
            if during <= 2 * max(before, FLOOR_SECONDS):
                break
            assert attempt < ATTEMPTS, (before, during)
        node = server.node
        async with asyncio.timeout(10):
            if fault == "never_gives_up":
                while {line["route"] for line in lines_of(server, "handler_does_not_end")} != ROUTES:
                    await asyncio.sleep(0.01)
                for task in node.event_tasks:
                    task.cancel()
            while node.event_tasks or len(node.sockets) > 1:
                await asyncio.sleep(0.01)
            while len(asyncio.all_tasks()) > tasks + 2:  # the witness's own
                await asyncio.sleep(0.01)
        assert await witness.ask("still here") == "still here"
    figures = server.gateway.figures.read()
    failed = figures["gateway_handler_errors_total"]
    if fault in HARMLESS:
        assert figures["gateway_plugin_tasks_left_total"][PLUGIN,] >= 3 * len(EVENTS) - 1
        told = lines_of(server, "task_outlived_connection")
        assert {line["route"] for line in told} == {"/open", "/message", "/close"}
        told += lines_of(server, "task_outlived_event")
        assert {line["task"] for line in told} >= {"leaked"}
        assert all("faults.py:" in line["began"] for line in told)
    elif fault in LATE:
        assert failed[PLUGIN, "fault", "timeout"] >= 3 * len(EVENTS) - 1
        told = lines_of(server, "handler_timeout")
        assert {line.get("route") for line in told} == ROUTES
        assert all("faults.py:" in line["where"] for line in told)
    else:
        assert failed[PLUGIN, "fault", "error"] >= 3 * len(EVENTS) - 1
        told = lines_of(server, "handler_failed")
        assert {line.get("route") for line in told} == ROUTES


async def test_who_blocks_the_loop_at_any_event_is_named(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any
) -> None:
    """The loop is held up for all, and log and figures pin it on the line; no connection is closed for it."""
    server = await serve_gateway(configuration("blocks", seconds=0.3), handlers={"fault": Fault})
    async with server.client("/witness") as witness, server.client("/message") as client:
        for event in EVENTS:
            before = len(lines_of(server, "loop_blocked"))
            await bring_about(server, "blocks", event)
            await until(lambda before=before: len(lines_of(server, "loop_blocked")) > before)
        await until(lambda: len(server.node.sockets) == 2)
        assert await client.ask("ask") == "well"
        assert await witness.ask("still here") == "still here"
    told = lines_of(server, "loop_blocked")
    assert {line["function"] for line in told} == {"Fault.blocks"}
    (place,) = {line["where"] for line in told}
    file, _, line = place.rpartition(":")
    assert file.endswith("faults.py")
    assert server.gateway.figures.read()["gateway_loop_blocks_total"][PLUGIN, file, line] == len(told)
    assert {line["event"] for line in server.errors} == set()
