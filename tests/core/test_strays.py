"""Tests of tasks that events begin by themselves: whose they are, and which are let alone."""

from __future__ import annotations

import asyncio
import linecache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler, Node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

YAML = """
routes: [{path: /it, allow_missing_origin: true, handlers: [beginner]}]
plugins: {test-handlers: {limits: {task_grace_seconds: 0.05}}}
"""
library = ModuleType("library_of_somebody")
exec(  # noqa: S102 - our own
    "import asyncio\ndef begin(coroutine):\n    return asyncio.create_task(coroutine, name='a library')\n",
    library.__dict__,
)


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


class Beginner(Handler):
    """A handler that begins a task in the way that it is told."""

    tasks: dict[str, asyncio.Task[Any]]

    def on_start(self, node: Node) -> None:
        """Begin one for itself."""
        type(self).tasks = {"start": asyncio.create_task(for_ever())}

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Begin it."""
        return getattr(self, str(message))(connection)

    def plain(self, connection: Connection) -> None:
        """By itself."""
        self.tasks["plain"] = asyncio.create_task(for_ever())

    async def waited(self, connection: Connection) -> None:
        """After a wait."""
        await asyncio.sleep(0)
        self.tasks["waited"] = asyncio.get_running_loop().create_task(for_ever())

    def timer(self, connection: Connection) -> None:
        """From a timer."""
        connection.after(0, self.plain, connection)

    def nested(self, connection: Connection) -> None:
        """From a task of the connection, which ends before it."""

        async def begin() -> None:
            await asyncio.sleep(0)
            self.tasks["nested"] = asyncio.ensure_future(for_ever())

        connection.start_task(begin())

    def of_library(self, connection: Connection) -> None:
        """By a library, which keeps it for all."""
        self.tasks["of_library"] = library.begin(for_ever())

    async def of_library_later(self, connection: Connection) -> None:
        """By a library, after a wait."""
        await asyncio.sleep(0)
        self.tasks["of_library_later"] = library.begin(for_ever())

    def of_node(self, connection: Connection) -> None:
        """By the node, and another one within that."""

        async def begin() -> None:
            self.tasks["of_node"] = asyncio.create_task(for_ever())
            await for_ever()

        connection.node.start_task(begin())


def outlived(server: Served) -> list[dict[str, Any]]:
    """Give what the log says of tasks that outlived their connections."""
    return [line for line in server.log if line["event"] == "task_outlived_connection"]


@pytest.mark.parametrize("way", ["plain", "waited", "timer", "nested"])
async def test_tasks_end_with_their_connection(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any, way: str
) -> None:
    """One that an event has begun goes on while the connection lives, is named after it, and cancelled."""
    server = await serve_gateway(YAML, handlers={"beginner": Beginner})
    name = "plain" if way == "timer" else way
    async with server.client("/it") as client:
        await client.send(way)
        await until(lambda: name in Beginner.tasks)
        task = Beginner.tasks[name]
        assert not task.done()
    await until(task.done)
    assert task.cancelled()
    (line,) = outlived(server)
    assert (line["plugin"], line["task"]) == ("test-handlers", task.get_name())
    assert "test_strays.py:" in line["where"]
    assert "test_strays.py:" in line["began"]
    assert not Beginner.tasks["start"].done()


@pytest.mark.parametrize("way", ["of_library", "of_library_later", "of_node"])
async def test_tasks_that_are_not_the_connections(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any, way: str
) -> None:
    """What a library begins, or what the node owns, outlives the connection, and is not cancelled."""
    server = await serve_gateway(YAML, handlers={"beginner": Beginner})
    for word in (way, "plain"):
        async with server.client("/it") as client:
            await client.send(word)
            await until(lambda word=word: word in Beginner.tasks)
    await until(lambda: outlived(server))
    assert len(outlived(server)) == 1  # the plain one, which came after it
    assert not Beginner.tasks[way].done()
    Beginner.tasks[way].cancel()


@pytest.mark.parametrize("way", ["of_library", "of_library_later"])
async def test_tasks_that_a_library_keeps(
    serve_gateway: Callable[..., Awaitable[Served]], until: Any, way: str
) -> None:
    """They are counted while they go on, and the plugin's line that led to them is named once."""
    server = await serve_gateway(YAML, handlers={"beginner": Beginner})

    def running() -> int:
        return int(server.gateway.figures.read()["gateway_plugin_library_tasks"]["test-handlers",])

    tasks = []
    for number in (1, 2):
        async with server.client("/it") as client:
            await client.send(way)
            await client.arrive()
            tasks.append(Beginner.tasks[way])
            assert running() == number - 1  # while its connection lives it is none of them
        await until(lambda number=number: running() == number)
    (line,) = (line for line in server.log if line["event"] == "library_keeps_task")
    assert (line["level"], line["plugin"], line["task"]) == ("info", "test-handlers", "a library")
    file, _, number = line["began"].rpartition(":")
    assert file == __file__
    assert "library.begin(" in linecache.getline(file, int(number))
    assert "test_strays.py:" in line["where"]
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await until(lambda: running() == 0)


async def test_the_loop_is_left_as_it_was(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """While gateways serve, one factory makes the loop's tasks; afterwards none does."""
    loop = asyncio.get_running_loop()
    first = await serve_gateway(YAML, handlers={"beginner": Beginner})
    factory: Any = loop.get_task_factory()
    second = await serve_gateway(YAML, handlers={"beginner": Beginner})
    assert loop.get_task_factory() is factory
    await first.gateway.stop()
    assert factory.nodes == [second.node]
    await second.gateway.stop()
    assert loop.get_task_factory() is None
