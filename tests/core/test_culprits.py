"""Tests of who is blamed: the handler whose event it was, whatever code it ran into, and which line."""

from __future__ import annotations

import asyncio
import json
import linecache
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler, hookimpl
from gateway.core.culprits import Culprits

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = ("open", "message", "close", "join")
BASE = """
import asyncio, json
from gateway import Handler

async def wait_for_ever():
    await asyncio.Event().wait()

async def fail_later():
    await asyncio.sleep(0)
    json.loads("{")

class Base(Handler):
    event = ""
    fault = ""

    def on_open(self, connection):
        return self.at("open")

    def on_message(self, connection, message):
        return self.at("message")

    def on_close(self, connection, code, reason):
        return self.at("close")

    def on_join(self, group, member, connections):
        return self.at("join")

    def at(self, event):
        return getattr(self, self.fault)() if event == self.event else None

    def fail(self):
        json.loads("{")

    def hand_on_what_fails(self):
        return fail_later()

    def hand_on_what_waits(self):
        return wait_for_ever()
"""


@pytest.fixture
def base() -> type[Handler]:
    """Give a class of handlers in a file that is no plugin's."""
    module = ModuleType("elsewhere")
    exec(compile(BASE, "elsewhere.py", "exec"), module.__dict__)  # noqa: S102 - as an import would
    return module.Base


class Quiet(Handler):
    """A handler of another plugin that hears everything, and does nothing."""

    def on_open(self, connection: Connection) -> None:
        """Do nothing."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Do nothing."""

    async def on_close(self, connection: Connection, code: int, reason: str) -> None:
        """Do nothing, after a wait."""
        await asyncio.sleep(0)

    def on_join(self, group: str, member: Any, connections: Any) -> None:
        """Do nothing."""


def plugin(**handlers: type[Handler]) -> Any:
    """Give a plugin with these handlers."""

    def gateway_handlers() -> dict[str, type[Handler]]:
        return dict(handlers)

    return SimpleNamespace(gateway_handlers=hookimpl(gateway_handlers))


def configuration(*handlers: str, plugins: int = 1, failures: int = 0, **limits: Any) -> str:
    """Give a gateway with these handlers on one route, and the first alone on another one."""
    breaker = {"failures": failures, "pause_seconds": 10}
    return json.dumps(
        {
            "routes": [
                {
                    "path": path,
                    "allow_missing_origin": True,
                    "handlers": names,
                    "groups": groups,
                    "limits": limits,
                }
                for path, names, groups in (("/it", handlers, ["room"]), ("/witness", handlers[:1], []))
            ],
            "groups": [{"pattern": "room", "presence": True}],
            "plugins": {f"test-{number}": {"limits": {"breaker": breaker}} for number in range(plugins)},
        }
    )


def lines(server: Any, *events: str) -> list[dict[str, Any]]:
    """Give the log's lines of these kinds."""
    return [line for line in server.log if line["event"] in events]


FAILED = ("handler_failed", "handler_timeout")


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("fault", ["fail", "hand_on_what_fails", "hand_on_what_waits"])
@pytest.mark.parametrize("hears", ["everything", "nothing else"])
async def test_the_handler_whose_event_it_was(
    serve_gateway: Any, until: Any, base: type, event: str, fault: str, hears: str
) -> None:
    """Neither an inherited method nor a library's coroutine has another plugin named, or stopped."""
    members: dict[str, Any] = {"event": event, "fault": fault}
    if hears == "nothing else":
        members |= {f"on_{each}": getattr(Handler, f"on_{each}") for each in EVENTS if each != event}
    guilty = type("Guilty", (base,), members)
    server = await serve_gateway(
        configuration("quiet", "guilty", plugins=2, failures=2, handler_timeout_seconds=0.05),
        plugins=[plugin(quiet=Quiet), plugin(guilty=guilty)],
    )
    async with server.client("/witness") as witness:
        for number in (1, 2):
            async with server.client("/it") as client:
                if event == "message":
                    await client.send("something")
                if event in {"open", "message"}:
                    await client.expect_close(1011)
            await until(lambda number=number: len(lines(server, *FAILED)) >= number)
        await until(lambda: lines(server, "plugin_stopped"))
        await witness.send("something")
        await witness.arrive()
        await witness.expect_nothing()
    told = lines(server, *FAILED, "plugin_stopped")
    assert {line["plugin"] for line in told} == {"test-1"}
    assert {line["handler"] for line in lines(server, *FAILED)} == {"guilty"}
    if fault == "fail":
        assert {line["where"].rpartition(":")[0] for line in told} == {"elsewhere.py"}


class First(Handler):
    """A handler beside another one of the same file, plugin and class."""

    def on_open(self, connection: Connection) -> None:
        """Begin what the path's query says."""
        (what,) = connection.request.query_params.get("begin", ("",))
        if what == f"{type(self).__name__} task":
            connection.start_task(self.fail_later())
        if what == f"{type(self).__name__} timer":
            connection.after(0, self.fail)

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Do as is said."""
        if message.startswith(f"{type(self).__name__} "):
            return getattr(self, message.partition(" ")[2])()
        return None

    def fail(self) -> None:
        """Fail within a library."""
        json.loads("{")  # here

    async def fail_later(self) -> None:
        """Fail after a wait."""
        await asyncio.sleep(0)
        self.fail()

    async def fail_in_a_group(self) -> None:
        """Fail in a group of tasks."""
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_in_a_task())

    async def wait(self) -> None:
        """Wait in a library."""
        await asyncio.wait_for(wait_for_ever(), 100)

    async def wait_in_one(self) -> None:
        """Wait in a library that waits."""
        await asyncio.Event().wait()  # there


class Second(First):
    """The other one."""


async def wait_for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def fail_in_a_task() -> None:
    """Fail."""
    await asyncio.sleep(0)
    json.loads("{")  # in the task


@pytest.mark.parametrize("handlers", [("first", "second"), ("second", "first"), ("second",)])
@pytest.mark.parametrize(
    ("fault", "comment"),
    [
        ("fail", "here"),
        ("fail_later", "here"),
        ("fail_in_a_group", "in the task"),
        ("wait", "asyncio.wait_for("),
        ("wait_in_one", "there"),
    ],
)
async def test_the_line_of_the_plugin(
    serve_gateway: Any, handlers: tuple[str, ...], fault: str, comment: str
) -> None:
    """A line of the log names the plugin's own line, and not the library's in which it failed or waits."""
    server = await serve_gateway(
        configuration(*handlers, failures=1, handler_timeout_seconds=0.05),
        plugins=[plugin(first=First, second=Second)],
    )
    async with server.client("/it") as client:
        await client.send(f"Second {fault}")
        await client.expect_close(1011)
    (line,) = lines(server, *FAILED)
    assert line["handler"] == "second"
    file, _, number = line["where"].rpartition(":")
    assert file == __file__
    assert comment in linecache.getline(file, int(number))
    (stopped,) = lines(server, "plugin_stopped")
    assert stopped["where"] == line["where"]


@pytest.mark.parametrize("what", ["task", "timer"])
async def test_tasks_and_timers(serve_gateway: Any, what: str) -> None:
    """What fails in the background is the handler's whose method it is."""
    server = await serve_gateway(
        configuration("first", "second", plugins=2), plugins=[plugin(first=First), plugin(second=Second)]
    )
    for begin in ("First", "Second"):
        async with server.client(f"/it?begin={begin}%20{what}") as client:
            await client.expect_close(1011)
    told = [(line["plugin"], line["handler"]) for line in lines(server, "handler_failed")]
    assert told == [("test-0", "first"), ("test-1", "second")]


async def test_a_class_without_a_file(serve_gateway: Any) -> None:
    """A handler that was made out of nothing fails as any other does."""
    names: dict[str, Any] = {"__name__": "nowhere"}
    exec(BASE, names)  # noqa: S102 - what has no file is made so
    assert "nowhere" not in sys.modules
    made = type(names["Base"])(
        "Made", (names["Base"],), {"event": "message", "fault": "fail", "__module__": "nowhere"}
    )
    server = await serve_gateway(configuration("made"), plugins=[plugin(made=made)])
    async with server.client("/it") as client:
        await client.send("something")
        await client.expect_close(1011)
    (line,) = lines(server, "handler_failed")
    assert (line["handler"], line["where"].rpartition(":")[0]) == ("made", "<string>")
    assert server.gateway.figures.read()["gateway_handler_errors_total"]["test-0", "made", "error"] == 1


@pytest.mark.parametrize(
    ("event", "fault", "method"),
    [
        ("message", "fail", "of_event"),
        ("message", "hand_on_what_waits", "of_waiting"),
        ("join", "fail", "of_event"),
        ("join", "hand_on_what_waits", "of_waiting"),
    ],
)
async def test_a_failure_that_cannot_be_told(
    serve_gateway: Any,
    until: Callable,
    monkeypatch: pytest.MonkeyPatch,
    base: type,
    event: str,
    fault: str,
    method: str,
) -> None:
    """The connection is closed with 1011 all the same, and the log says what stood in the way."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("nobody knows")

    monkeypatch.setattr(Culprits, method, refuse)
    guilty = type("Guilty", (base,), {"event": event, "fault": fault})
    server = await serve_gateway(
        configuration("guilty", handler_timeout_seconds=0.05), plugins=[plugin(guilty=guilty)]
    )
    async with server.client("/it") as client:
        await client.send("something")
        if event == "message":
            await client.expect_close(1011)
        await until(lambda: lines(server, "failure_not_told"))
        if event == "join":
            await client.arrive()
    line = lines(server, "failure_not_told")[0]
    assert (line["route"], line["level"]) == ("/it", "error")
    assert "nobody knows" in line["exception"]
