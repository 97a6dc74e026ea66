"""Tests of `asyncio.to_thread` and the like: a plugin that fills its threads takes none from others."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway import hookimpl
from gateway.core import threads
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

    Serve = Callable[..., Awaitable[Served]]

SOURCE = """
import asyncio
import threading

import {library}
from gateway import Handler

gate = threading.Event()

class It(Handler):
    def on_message(self, connection, message):
        return getattr(self, message)(connection)

    async def name(self, connection):
        connection.send(await asyncio.to_thread(name))

    def floods_by_tasks(self, connection):
        for _ in range(50):
            asyncio.ensure_future(asyncio.to_thread(gate.wait))
        connection.send("flooded")

    def floods_by_owned_tasks(self, connection):
        for _ in range(50):
            connection.start_task(asyncio.to_thread(gate.wait))
        connection.send("flooded")

    def floods_by_executor(self, connection):
        loop = asyncio.get_running_loop()
        for _ in range(50):
            loop.run_in_executor(None, gate.wait)
        connection.send("flooded")

    def floods_by_library(self, connection):
        for _ in range(50):
            {library}.flood(gate.wait)
        connection.send("flooded")

    async def floods_by_group(self, connection):
        async def wait():
            await asyncio.to_thread(gate.wait)

        connection.send("flooded")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(wait())

def name():
    return threading.current_thread().name
"""
LIBRARY = """
import asyncio

tasks = []

def flood(function):
    tasks.append(asyncio.get_running_loop().create_task(asyncio.to_thread(function)))
"""
CONFIGURATION = """
revocation: {file: revocations}
api: {tokens: [{name: ops, token: a-token}]}
plugins: {test-0: {limits: {max_threads: 2}}}
routes:
  - {path: /bad, allow_missing_origin: true, handlers: [bad]}
  - {path: /good, allow_missing_origin: true, handlers: [good]}
"""
OWN = """
revocation: {file: revocations}
api: {tokens: [{name: ops, token: a-token}]}
routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]
"""
FLOODS = ["tasks", "owned_tasks", "executor", "library", "group"]


def module(name: str, source: str, **values: Any) -> Any:
    """Make a module."""
    made = ModuleType(name)
    vars(made).update(values)
    exec(compile(source, f"{name}.py", "exec"), vars(made))  # noqa: S102 - a plugin of the test's own
    return made


def plugin(name: str, library: Any) -> tuple[Any, Any]:
    """Make a plugin in a module of its own, with a handler of its name; give the plugin and the module."""
    source = SOURCE.format(library="a_library").replace("import a_library", "")
    made = module(f"{name}_plugin", source, a_library=library)

    @hookimpl
    def gateway_handlers() -> dict[str, Any]:
        return {name: made.It}

    return SimpleNamespace(gateway_handlers=gateway_handlers), made


async def revoke(server: Served) -> None:
    """Revoke a user, which the gateway writes to a file in a thread."""
    headers = {"Authorization": "Bearer a-token"}
    answer = await server.request("POST", "/api/revoke", headers=headers, json={"user": "ann"})
    assert answer.status_code == 200


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_flood_of_calls_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: str, kind: str
) -> None:
    """Other plugins, libraries, the gateway and names have threads; log and figure name the plugin.

    The event loop ends though the functions run on, but for those that an event waits for.
    """
    monkeypatch.setattr(threads, "LONG_SECONDS", 0.05)
    library = module("a_library", LIBRARY)
    bad, flooding = plugin("bad", library)
    good, _ = plugin("good", library)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with (
            asyncio.timeout(40),
            serve(tmp_path, CONFIGURATION, plugins=[bad, good]) as server,
            server.client("/bad") as client,
            server.client("/good") as witness,
        ):
            assert await client.ask("name") == "gateway test-0"
            await client.send(f"floods_by_{flood}")
            assert await client.receive() == "flooded"
            guard = server.node.guards.of("test-0")
            while guard.thread_calls != (2, 48):
                await asyncio.sleep(0.002)
            assert await witness.ask("name") == "gateway test-1"
            await loop.create_task(asyncio.to_thread(str))  # by whoever
            assert await loop.getaddrinfo("localhost", 80)
            await revoke(server)
            assert (tmp_path / "revocations").read_text().count("ann") == 1
            figures = server.gateway.figures.read()["gateway_plugin_thread_calls"]
            assert figures["test-0", "waiting"] == 48
            while not (held := [line for line in server.log if line["event"] == "threads_held_up"]):
                await asyncio.sleep(0.002)
            assert (held[0]["plugin"], held[0]["max_threads"], held[0]["waiting"]) == ("test-0", 2, 48)
            assert held[0]["where"] == ["threading.Event.wait"]
            if flood == "group":
                flooding.gate.set()  # its handler waits for them, and client and gateway would for it: 15 s

    factory = uvloop.new_event_loop if kind == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    flooding.gate.set()


async def test_the_gateway_has_threads_of_its_own(
    serve_gateway: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gateway itself calls runs in none that plugins have; what fails there is raised as ever."""
    names: list[str] = []

    def note(*arguments: Any) -> None:
        names.append(threading.current_thread().name)

    server = await serve_gateway(OWN)
    monkeypatch.setattr("gateway.auth.revocation_file.RevocationFile._append", note)
    await revoke(server)
    assert names == ["gateway itself"]
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    waiting = asyncio.ensure_future(asyncio.to_thread(threading.Event().wait, 0.01))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await server.gateway.stop()
    assert await asyncio.to_thread(str, "after the end") == "after the end"
