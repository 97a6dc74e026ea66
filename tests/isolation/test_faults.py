"""Tests of the fault plugin: whatever it does, and when, only its own connections notice, and it is named."""

from __future__ import annotations

import asyncio
import json
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
TIMES = 3
"""How often each event happens."""
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


def configuration(fault: str) -> str:
    """Give a gateway with a route for each event at which something goes wrong, and one for the witness."""
    routes = [
        {
            "path": f"/{event}",
            "allow_missing_origin": True,
            "groups": ["room"] if event in {"join", "leave", "change"} else [],
            "handlers": [{"name": "fault", "options": {"fault": fault, "event": event}}],
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
                        "breaker": {"failures": 0},
                    }
                }
            },
        }
    )


class Echoing:
    """A witness that echoes without a pause, beside whatever happens, and misses nothing."""

    def __init__(self, witness: Client) -> None:
        self._witness = witness
        self._task = asyncio.ensure_future(self._echo())
        self._over = False
        self.echoes = 0

    async def _echo(self) -> None:
        while not self._over:
            assert await self._witness.ask(str(self.echoes)) == str(self.echoes)
            self.echoes += 1

    async def end(self) -> None:
        """Have the last echo come; fail if one has not, or not in its order."""
        self._over = True
        await self._task


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
async def test_a_fault_at_every_event(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any, fault: str
) -> None:
    """Neither a witness nor a bystander notices, nothing is left of who is gone, and log and figures name it.

    The witness echoes from before the first fault until the last one is over. How soon its echoes come, is
    measured in tests/bench/isolation.py.
    """
    server = await serve_gateway(configuration(fault), handlers={"fault": Fault})
    tasks = len(asyncio.all_tasks())
    async with server.client("/witness") as witness, server.client("/message") as bystander:
        echoing = Echoing(witness)
        await until(lambda: echoing.echoes)
        await asyncio.gather(*(bring_about(server, fault, event) for event in EVENTS for _ in range(TIMES)))
        node = server.node
        if fault == "never_gives_up":
            await until(
                lambda: {line["route"] for line in lines_of(server, "handler_does_not_end")} == ROUTES
            )
            for task in node.event_tasks:
                task.cancel()
        await until(lambda: not node.event_tasks and len(node.sockets) == 2)
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 5)  # the witness's and the bystander's own
        since = echoing.echoes
        await until(lambda: echoing.echoes > since)
        await echoing.end()
        assert await bystander.ask("ask") == "well"
    figures = server.gateway.figures.read()
    failed = figures["gateway_handler_errors_total"]
    if fault in HARMLESS:
        assert figures["gateway_plugin_tasks_left_total"][PLUGIN,] >= TIMES * len(EVENTS) - 1
        told = lines_of(server, "task_outlived_connection")
        assert {line["route"] for line in told} == {"/open", "/message", "/close"}
        told += lines_of(server, "task_outlived_event")
        assert {line["task"] for line in told} >= {"leaked"}
        assert all("faults.py:" in line["began"] for line in told)
    elif fault in LATE:
        assert failed[PLUGIN, "fault", "timeout"] >= TIMES * len(EVENTS) - 1
        told = lines_of(server, "handler_timeout")
        assert {line.get("route") for line in told} == ROUTES
        assert all("faults.py:" in line["where"] for line in told)
    else:
        assert failed[PLUGIN, "fault", "error"] >= TIMES * len(EVENTS) - 1
        told = lines_of(server, "handler_failed")
        assert {line.get("route") for line in told} == ROUTES


@pytest.mark.parametrize("event", EVENTS)
async def test_who_blocks_the_loop_for_two_seconds_is_named(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any, event: str
) -> None:
    """The loop is held up for all, and log and figures pin it on the line; no connection is closed for it."""
    server = await serve_gateway(configuration("blocks"), handlers={"fault": Fault})
    async with server.client("/witness") as witness, server.client("/message") as client:
        echoing = Echoing(witness)
        await until(lambda: echoing.echoes)
        await bring_about(server, "blocks", event)
        await until(lambda: lines_of(server, "loop_blocked"))
        await until(lambda: len(server.node.sockets) == 2)
        await echoing.end()
        assert await client.ask("ask") == "well"
    told = lines_of(server, "loop_blocked")
    assert {line["function"] for line in told} == {"Fault.blocks"}
    (place,) = {line["where"] for line in told}
    file, _, line = place.rpartition(":")
    assert file.endswith("faults.py")
    assert server.gateway.figures.read()["gateway_loop_blocks_total"][PLUGIN, file, line] == len(told)
    assert {line["event"] for line in server.errors} == set()
