"""Tests of the event that is tried after a pause, on a route where several plugins are stopped."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import Connection, Handler, hookimpl

TEXT = """
routes:
  - {path: /both, allow_missing_origin: true, handlers: [first, second]}
  - {path: /first, allow_missing_origin: true, handlers: [first]}
  - {path: /second, allow_missing_origin: true, handlers: [second]}
plugins:
  test-0: {limits: {breaker: {failures: 1, pause_seconds: 10}}}
  test-1: {limits: {breaker: {failures: 1, pause_seconds: 10}}}
"""


class Told(Handler):
    """A handler that fails when it is told to, at once or after a wait, and else answers."""

    async def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Do it."""
        who, what = str(message).split()
        if who == type(self).__name__:
            if what == "later":
                await asyncio.sleep(0)
            if what != "answer":
                raise ValueError(what)
            connection.send(who)


class First(Told):
    """One of them."""


class Second(Told):
    """The other one."""


def plugin(**handlers: type[Handler]) -> Any:
    """Give a plugin with these handlers."""

    def gateway_handlers() -> dict[str, type[Handler]]:
        return dict(handlers)

    return SimpleNamespace(gateway_handlers=hookimpl(gateway_handlers))


@pytest.mark.parametrize("when", ["now", "later"])
async def test_a_trial_that_another_plugin_spoils(serve_gateway: Any, gateway_clock: Any, when: str) -> None:
    """Only who fails at the trial is stopped again; for the other one the next event is the trial."""
    server = await serve_gateway(TEXT, plugins=[plugin(first=First), plugin(second=Second)])

    async def fail(path: str, who: str) -> None:
        async with server.client(path) as client:
            await client.send(f"{who} {when}")
            await client.expect_close(1011)

    await fail("/first", "First")
    await fail("/second", "Second")
    await gateway_clock.turn(10)
    await fail("/both", "Second")
    async with server.client("/first") as client:
        assert await client.ask("First answer") == "First"
    async with server.client("/second") as client:
        await client.expect_close(1013)
    told = [(line["event"], line["plugin"]) for line in server.log if line["event"].startswith("plugin_")]
    assert told == [
        ("plugin_stopped", "test-0"),
        ("plugin_stopped", "test-1"),
        ("plugin_stopped", "test-1"),
        ("plugin_works_again", "test-0"),
    ]
