"""Tests of dispatch: the order of a route's handlers, and which of them is blamed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import HANDLED, Connection, Handler
from gateway.core.dispatch import Dispatch


class Note(Handler):
    """A handler that notes its calls, plainly."""

    def __init__(self, name: str, notes: list[str], result: Any = None) -> None:
        self.name = name
        self.notes = notes
        self.result = result

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Note it."""
        self.notes.append(f"{self.name} {message}")
        return self.result


class AsyncNote(Note):
    """A handler that notes its calls after a wait."""

    async def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Wait, and note it."""
        await asyncio.sleep(0)
        return super().on_message(connection, message)


async def finish(result: Any) -> Any:
    """Await what an event returned, if it waits."""
    return await result if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize("first", [Note, AsyncNote])
@pytest.mark.parametrize("second", [Note, AsyncNote])
async def test_handlers_are_called_in_order(first: type[Note], second: type[Note]) -> None:
    """Plain and async handlers see a message one after the other."""
    notes: list[str] = []
    dispatch = Dispatch([("a", first("a", notes)), ("b", second("b", notes)), ("c", Note("c", notes))])
    await finish(dispatch.message(None, "m"))
    assert notes == ["a m", "b m", "c m"]


@pytest.mark.parametrize("kind", [Note, AsyncNote])
@pytest.mark.parametrize("position", [0, 1])
async def test_handled_goes_no_further(kind: type[Note], position: int) -> None:
    """`HANDLED` keeps a message from the handlers behind."""
    notes: list[str] = []
    handlers = [Note("a", notes), kind("b", notes, HANDLED), Note("c", notes)][1 - position :]
    await finish(Dispatch([(handler.name, handler) for handler in handlers]).message(None, "m"))
    assert notes[-1] == "b m"


def test_one_handler_is_called_directly() -> None:
    """With one handler the event is its own method: nothing stands between."""
    handler = Note("a", [])
    assert Dispatch([("a", handler)]).message == handler.on_message


def test_handlers_without_the_event_are_left_out() -> None:
    """An event that no handler implements does nothing, and those without it cost nothing."""
    handler = Note("a", [])
    dispatch = Dispatch([("base", Handler(None)), ("a", handler)])
    assert dispatch.message == handler.on_message
    assert dispatch.open(None) is None
    assert dispatch.closes == ()


def test_culprit_is_the_handler_whose_module_failed() -> None:
    """An error names the handler it passed through, and the line where it was raised."""

    class Failing(Handler):
        def on_message(self, connection: Connection, message: str | bytes) -> None:
            int("x")

    dispatch = Dispatch([("first", Handler(None)), ("failing", Failing(None))])
    with pytest.raises(ValueError, match="invalid literal") as caught:
        dispatch.message(None, "m")
    name, place = dispatch.culprits.of_event(caught.value)
    assert name == "failing"
    assert place.rpartition(":")[0] == __file__


class Ends(Note):
    """A handler that notes opens and closes, and fails or waits as its result says."""

    def on_open(self, connection: Connection) -> Any:
        """Note it."""
        self.notes.append(f"{self.name} open")
        return self.result

    def on_close(self, connection: Connection, code: int, reason: str) -> Any:
        """Note it, and misbehave."""
        self.notes.append(f"{self.name} close {code}")
        if self.result == "fail":
            raise ValueError("as told")
        return asyncio.Event().wait() if self.result == "wait" else self.result


@pytest.mark.parametrize("misbehaviour", ["fail", "wait", HANDLED])
async def test_every_handler_hears_of_the_end(serve_gateway, until, misbehaviour) -> None:
    """A close event that fails, waits for ever or says `HANDLED` keeps no later handler from its own."""
    notes: list[str] = []

    class First(Ends):
        def __init__(self, options: object) -> None:
            super().__init__("first", notes, misbehaviour)

    class Second(Ends):
        def __init__(self, options: object) -> None:
            super().__init__("second", notes)

    yaml = """
listen: {drain_seconds: 0}
routes:
  - {path: /t, handlers: [first, second], allow_missing_origin: true, limits: {handler_timeout_seconds: 0.1}}
"""
    server = await serve_gateway(yaml, handlers={"first": First, "second": Second})
    async with server.connect("/t"):
        await until(lambda: len(notes) == 2)
    await until(lambda: len(notes) == 4)
    assert notes == ["first open", "second open", "first close 1000", "second close 1000"]
    assert len([line for line in server.log if line["level"] == "error"]) == (misbehaviour is not HANDLED)
