"""Tests of the nasty conversations: what passes, what does not, and how that is told."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler, Node
from gateway.testing import ConversationsError
from gateway.testing.conversations import CONVERSATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Check = Callable[..., Awaitable[None]]

ECHO = "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]"


def only(*names: str) -> set[str]:
    """Give what is to be skipped so that these conversations are left."""
    return set(CONVERSATIONS) - set(names)


async def test_a_good_handler_passes(check_handler: Check) -> None:
    """A handler that takes everything is taken through all of it."""
    await check_handler(ECHO, messages=["hello", b"\x00"])


async def test_a_failing_handler_is_told(check_handler: Check) -> None:
    """The report names each conversation, what it does, the handler's own line and the messages."""

    class Careless(Handler):
        def on_message(self, connection: Connection, message: str | bytes) -> None:
            connection.send_json(json.loads(message))

    with pytest.raises(ConversationsError) as caught:
        await check_handler(Careless, messages=["{}"])
    report = str(caught.value)
    assert "conversations went wrong at /careless" in report.splitlines()[0]
    assert "junk text: A client sends texts that are no JSON" in report
    assert "handler_failed, handler Careless" in report
    assert "connection.send_json(json.loads(message))" in report
    assert "JSONDecodeError: Expecting value" in report
    assert "after '', " in report
    assert "opens and drops" not in report
    assert set(caught.value.faults) < set(CONVERSATIONS)


async def test_the_same_fault_is_told_once(check_handler: Check) -> None:
    """A fault that comes again and again points to where it came first."""

    class Broken(Handler):
        def on_close(self, connection: Connection, code: int, reason: str) -> None:
            raise RuntimeError("broken")

    with pytest.raises(ConversationsError) as caught:
        await check_handler(Broken, skip=only("opens and closes", "opens and drops"))
    assert str(caught.value).count("RuntimeError: broken") == 1
    assert "as in 'opens and closes'" in str(caught.value)


async def test_a_call_that_blocks_is_told(check_handler: Check) -> None:
    """A handler that blocks the event loop is told what it called, and on which line."""

    class Blocking(Handler):
        def on_message(self, connection: Connection, message: str | bytes) -> None:
            time.sleep(0.001)  # on purpose

    with pytest.raises(ConversationsError, match=r"Blocking call to time\.sleep") as caught:
        await check_handler(Blocking, skip=only("good messages"))
    assert "time.sleep(0.001)  # on purpose" in str(caught.value)


async def test_computing_that_blocks_is_told(check_handler: Check) -> None:
    """A handler that holds up the event loop by mere computing is told by its function, file and line."""

    class Computing(Handler):
        def on_message(self, connection: Connection, message: str | bytes) -> None:
            if message == "[]":
                blocks = connection.node.metrics.blocks
                before = blocks.total()
                while blocks.total() == before:  # until the watchdog has seen it
                    pass

    def be_quick(config: Any) -> Any:
        log = config.log.model_copy(update={"block_warning_seconds": 0.2})
        return config.model_copy(update={"log": log})

    with pytest.raises(ConversationsError) as caught:
        await check_handler(Computing, skip=only("good messages", "junk text"), change=be_quick)
    assert list(caught.value.faults) == ["junk text"]
    (fault,) = caught.value.faults["junk text"]
    assert re.fullmatch(
        rf"loop_blocked, plugin test-handlers, function {re.escape(Computing.on_message.__qualname__)}\n"
        rf"  at {re.escape(__file__)}:\d+",
        fault,
    )


async def test_tasks_that_stay_are_told(check_handler: Check) -> None:
    """A handler whose tasks outlive their connections is told; one that starts a few for itself is not."""

    class Leaking(Handler):
        def on_start(self, node: Node) -> None:
            self.tasks: list[asyncio.Task[Any]] = []

        def on_open(self, connection: Connection) -> None:
            self.tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(1000)))

        def on_stop(self) -> None:
            for task in self.tasks:
                task.cancel()

    with pytest.raises(ConversationsError, match=r"left: 20 tasks, such as .*sleep"):
        await check_handler(Leaking, skip=only("many clients at once"))
    await check_handler(Leaking, skip=only("opens and closes", "opens and drops"))


async def test_harm_to_others_is_told(check_handler: Check) -> None:
    """A handler that ends another's connection is told by the witness."""

    class Jealous(Handler):
        def on_message(self, connection: Connection, message: str | bytes) -> None:
            for other in connection.node.connections():
                if other is not connection:
                    other.close(4000, "mine")

    with pytest.raises(ConversationsError, match=r"the witness, who did nothing: .*4000.*mine"):
        await check_handler(Jealous, skip=only("good messages"))


async def test_a_path_and_what_clients_connect_with(check_handler: Check) -> None:
    """The conversations are held where the test says, by whom it says."""
    text = """
authentication: {token: {keys: [{name: a, user: ada, token: of-ada}]}}
routes:
  - {path: /other, handlers: [], limits: {max_message_bytes: 10}}
  - path: /in/{room}
    authenticate: [token]
    limits: {max_message_bytes: 1000}
    allowed_origins: ["https://a.example"]
    handlers: [echo]
"""
    connect = {"token": "of-ada", "origin": "https://a.example"}
    await check_handler(text, at="/in/lobby", connect=connect, skip=only("longest text", "too long"))


async def test_an_unknown_name_is_refused(check_handler: Check) -> None:
    """A misspelt name does not pass for one that is skipped."""
    with pytest.raises(ValueError, match=r"no such conversations: slow raeder; there are .*slow reader"):
        await check_handler(ECHO, skip=["slow raeder"])
