"""Tests of what a plugin may take: its time, its events under way, failures, threads, the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import linecache
import threading
import time
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Connection, Handler, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

PLUGIN = "test-handlers"
LIMITS = "plugins: {{test-handlers: {{limits: {limits}}}}}\n"
ROUTES = """
metrics: {{public: true}}
log: {{block_warning_seconds: 0.1}}
routes:
  - {{path: /it, allow_missing_origin: true, handlers: [{handlers}]}}
  - {{path: /witness, allow_missing_origin: true, handlers: [echo]}}
"""
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Told(Handler):
    """A handler that does as it is told."""

    gate: asyncio.Event
    ended: list[str]

    def on_start(self, node: Any) -> None:
        """Begin with a closed gate."""
        type(self).gate = asyncio.Event()
        type(self).ended = []

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Do it."""
        word, _, rest = str(message).partition(" ")
        return getattr(self, word)(connection, rest)

    async def on_close(self, connection: Connection, code: int, reason: str) -> None:
        """Note it after a wait."""
        await asyncio.sleep(0)
        self.ended.append(connection.id)

    def fail(self, connection: Connection, rest: str) -> None:
        """Fail."""
        raise ValueError(rest)

    def say(self, connection: Connection, rest: str) -> None:
        """Say it."""
        connection.send(rest)

    async def wait(self, connection: Connection, rest: str) -> None:
        """Wait for the gate, and say it."""
        connection.send("waits")
        await self.gate.wait()
        connection.send(rest)

    async def stay(self, connection: Connection, rest: str) -> None:
        """Wait for the gate, though it is cancelled."""
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self.gate.wait()

    def block(self, connection: Connection, rest: str) -> None:
        """Block the event loop."""
        time.sleep(float(rest))
        connection.send("blocked")

    async def work(self, connection: Connection, rest: str) -> None:
        """Work in a thread."""
        variable.set(rest)
        given = await connection.run_in_thread(self._work, connection, rest=rest)
        connection.send(given)

    def _work(self, connection: Connection, rest: str) -> str:
        return f"{variable.get()} {rest} {threading.current_thread().name}"

    async def exit_in_thread(self, connection: Connection, rest: str) -> None:
        """End the thread, and as it were the process."""
        await connection.node.run_in_thread(exit_now)


def exit_now() -> None:
    """Do as `sys.exit` does."""
    raise SystemExit


async def serve(
    serve_gateway: Callable[..., Awaitable[Served]], limits: str, handlers: str = "told"
) -> Served:
    """Serve it with these limits."""
    text = ROUTES.format(handlers=handlers) + LIMITS.format(limits=limits)
    return await serve_gateway(text, handlers={"told": Told})


def lines(server: Served, event: str) -> list[dict[str, Any]]:
    """Give the log's lines of a kind."""
    return [line for line in server.log if line["event"] == event]


ALONE = "told"
MIXED = "echo, told"
"""With a handler of another plugin before it, which sends every message back."""


@pytest.mark.parametrize("handlers", [ALONE, MIXED])
async def test_the_shorter_deadline_holds(serve_gateway: Any, handlers: str) -> None:
    """An event that waits longer than the plugin may is ended, though the route would let it."""
    server = await serve(serve_gateway, "{event_timeout_seconds: 0.05}", handlers)
    async with server.client("/it") as client:
        await client.send("wait on")
        await client.expect_close(1011)
    (line,) = lines(server, "handler_timeout")
    assert (line["plugin"], line["handler"], line["seconds"]) == (PLUGIN, "told", 0.05)
    assert "test_limits.py:" in line["where"]
    assert server.node.metrics.limits["event_timeout_seconds"] == 1


async def test_the_route_s_own_deadline_stays(serve_gateway: Any, gateway_clock: Any) -> None:
    """A plugin that may take as long as the route leaves the deadline to the handlers behind it."""

    class Quick(Handler):
        async def on_message(self, connection: Connection, message: str | bytes) -> None:
            await asyncio.sleep(0)

    text = ROUTES.format(handlers="quick, told")
    text += "plugins: {test-0: {limits: {event_timeout_seconds: 30}}}"
    quick = SimpleNamespace(gateway_handlers=hookimpl(lambda: {"quick": Quick}))
    quick.gateway_handlers.__name__ = "gateway_handlers"
    server = await serve_gateway(text, handlers={"told": Told}, plugins=[quick])
    async with server.client("/it") as client:
        assert await client.ask("wait on") == "waits"
        await gateway_clock.turn(31)
        await client.expect_close(1011)


@pytest.mark.parametrize("handlers", [ALONE, MIXED])
async def test_events_wait_for_their_turn(serve_gateway: Any, handlers: str) -> None:
    """Past the bound an async event is not begun; they get their turns in order, plain ones need none."""
    server = await serve(serve_gateway, "{max_events_under_way: 1}", handlers)
    echoes = handlers == MIXED
    async with server.client("/it") as first, server.client("/it") as second, server.client("/it") as third:
        for client, words in ((first, "wait 1"), (second, "wait 2")):
            await client.send(words)
            if echoes:
                assert await client.receive() == words
        assert await first.receive() == "waits"
        await second.expect_nothing()
        await third.send("say plain")
        assert [await third.receive() for _ in range(1 + echoes)][-1] == "plain"
        async with server.client("/witness") as witness:
            assert await witness.ask("hello") == "hello"
        guard = server.node.guards.of(PLUGIN)
        assert guard.turns.full
        Told.gate.set()
        assert await first.receive() == "1"
        assert [await second.receive(), await second.receive()] == ["waits", "2"]
        assert not guard.turns.full
        await second.send("wait 3")
        assert [await second.receive() for _ in range(2 + echoes)][-1] == "3"
    assert len(lines(server, "events_held_up")) == 1


@pytest.mark.parametrize("handlers", [ALONE, MIXED])
async def test_a_turn_that_does_not_come(serve_gateway: Any, handlers: str, until: Any) -> None:
    """Who waits too long for a turn gets 1013, which is no failure; ends are told of all the same."""
    limits = "{max_events_under_way: 1, event_timeout_seconds: 0.3}"
    server = await serve(serve_gateway, limits, handlers)
    async with server.client("/it") as first, server.client("/it") as second:
        await first.send("stay 1")
        await first.arrive()
        await second.send("wait 2")
        if handlers == MIXED:
            assert [await first.receive(), await second.receive()] == ["stay 1", "wait 2"]
        await first.expect_close(1011)
        await second.expect_close(1013, "too much is under way")
        await until(lambda: len(Told.ended) == 2)  # while the first still has its place
        Told.gate.set()
    figures = server.gateway.figures.read()
    assert figures["gateway_plugin_turned_away_total"][PLUGIN, "events"] == 1
    assert figures["gateway_handler_errors_total"][PLUGIN, "told", "timeout"] == 1
    assert figures["gateway_limits_total"]["max_events_under_way",] == 1


@pytest.mark.parametrize("handlers", [ALONE, MIXED])
async def test_the_time_of_an_event_begins_with_its_turn(
    serve_gateway: Any, gateway_clock: Any, handlers: str
) -> None:
    """What it has waited for its turn is not taken from its time."""
    limits = "{max_events_under_way: 1, event_timeout_seconds: 10}"
    server = await serve(serve_gateway, limits, handlers)
    words = ["waits"] if handlers == ALONE else ["wait 2", "waits"]
    async with server.client("/it") as first, server.client("/it") as second:
        await first.send("wait 1")
        await first.arrive()
        await gateway_clock.turn(6)
        await second.send("wait 2")
        await second.arrive()
        await gateway_clock.turn(3)
        Told.gate.set()
        Told.gate.clear()
        assert [await second.receive() for _ in words] == words
        await gateway_clock.turn(8)  # 11 seconds after it came, 8 after its turn
        await second.expect_nothing()
        await gateway_clock.turn(2)
        await second.expect_close(1011)


BREAKER = "{breaker: {failures: 3, within_seconds: 60, pause_seconds: 10}}"


async def fail_often(server: Served, word: str = "fail", number: int = 3) -> None:
    """Have events fail, one connection after the other."""
    for _ in range(number):
        async with server.client("/it") as client:
            await client.send(f"{word} on purpose")
            if word == "fail":
                await client.expect_close(1011)


@pytest.mark.parametrize("handlers", [ALONE, MIXED])
async def test_a_plugin_that_fails_is_stopped_and_tried(
    serve_gateway: Any, gateway_clock: Any, handlers: str
) -> None:
    """Its connections get 1013 when they need it, others work on; after the pause one event is tried."""
    server = await serve(serve_gateway, BREAKER, handlers)
    echoes = handlers == MIXED
    async with (
        server.client("/it") as idle,
        server.client("/it") as busy,
        server.client("/witness") as witness,
    ):
        await fail_often(server)
        (line,) = lines(server, "plugin_stopped")
        assert (line["plugin"], line["failures"]) == (PLUGIN, 3)
        assert "test_limits.py:" in line["where"]
        await busy.send("say something")
        await busy.expect_close(1013, "not working at the moment")
        async with server.client("/it") as newcomer:
            await newcomer.expect_close(1013, "not working at the moment")
        assert await witness.ask("hello") == "hello"
        figures = server.gateway.figures.read()
        assert figures["gateway_plugin_stopped"][PLUGIN,] == 1
        assert figures["gateway_plugin_turned_away_total"][PLUGIN, "stopped"] == 2
        await gateway_clock.turn(9.9)
        async with server.client("/it") as newcomer:
            await newcomer.expect_close(1013)
        # The trial fails.
        await gateway_clock.turn(0.1)
        await fail_often(server, number=1)
        assert len(lines(server, "plugin_stopped")) == 2
        # The trial takes its time; meanwhile the others are turned away.
        await gateway_clock.turn(10)
        async with server.client("/it") as trial, server.client("/it") as other:
            await trial.send("wait well")
            await trial.arrive()
            await other.send("say something")
            await other.expect_close(1013)
            assert lines(server, "plugin_works_again") == []
            Told.gate.set()
            assert [await trial.receive() for _ in range(2 + echoes)][-1] == "well"
        assert len(lines(server, "plugin_works_again")) == 1
        await idle.send("say again")
        assert [await idle.receive() for _ in range(1 + echoes)][-1] == "again"
        assert await witness.ask("hello") == "hello"
        assert server.gateway.figures.read()["gateway_plugin_stopped"][PLUGIN,] == 0
        # It is counted anew.
        await fail_often(server, number=2)
        assert len(lines(server, "plugin_stopped")) == 2


async def test_failures_that_lie_far_apart(serve_gateway: Any, gateway_clock: Any) -> None:
    """As many failures in more time than that stop nothing."""
    server = await serve(serve_gateway, BREAKER)
    for _ in range(4):
        await fail_often(server, number=2)
        await gateway_clock.turn(61)
    assert lines(server, "plugin_stopped") == []


async def test_no_breaker(serve_gateway: Any) -> None:
    """With 0 failures the plugin is never stopped."""
    server = await serve(serve_gateway, "{breaker: {failures: 0}}")
    await fail_often(server, number=10)
    assert lines(server, "plugin_stopped") == []


async def test_a_timing_of_messages_stops_no_breaker(serve_gateway: Any, gateway_clock: Any) -> None:
    """A message that is chosen to be timed does not bring the plugin back before its time."""
    server = await serve(serve_gateway, BREAKER)
    (sampler, _) = server.gateway.figures.watch.samplers
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(server.client("/it")) for _ in range(20)]
        sampler.arm()
        await fail_often(server)
        sampler._left = -1  # as it is when the last one has been timed
        for client in idle:
            sampler.arm()
            await client.send("say something")
            await client.expect_close(1013)
    await gateway_clock.turn(10)
    async with server.client("/it") as client:
        assert await client.ask("say well") == "well"
        sampler.arm()
        for _ in range(16):
            assert await client.ask("say well") == "well"
    counts = server.node.metrics.handler_seconds[PLUGIN, "told", "message"].counts
    assert sum(counts) >= 1


async def test_functions_run_in_threads(serve_gateway: Any, until: Any) -> None:
    """They see the caller's context, in the plugin's threads, which are bounded; an exit ends nothing."""
    server = await serve(serve_gateway, "{max_threads: 2}")
    async with server.client("/it") as client:
        assert await client.ask("work hard") == f"hard hard gateway {PLUGIN}"
        threads = server.node.guards.of(PLUGIN).threads
        gate = threading.Event()
        running: list[str] = []

        def block() -> str:
            running.append("begun")
            gate.wait()
            return "done"

        calls = [asyncio.ensure_future(server.node.run_in_thread(block)) for _ in range(5)]
        await until(lambda: len(running) == 2)
        # The test's own module is the plugin's too.
        assert (threads.running, threads.waiting) == (2, 3)
        calls[4].cancel()
        await client.send("say meanwhile")
        assert await client.receive() == "meanwhile"
        gate.set()
        assert await asyncio.gather(*calls[:4]) == ["done"] * 4
        await until(lambda: threads.running == 0)
        assert len(running) == 4
        await client.send("exit_in_thread now")
        await client.expect_close(1011)
    with pytest.raises(ZeroDivisionError):
        await server.node.run_in_thread(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await server.node.run_in_thread(next, iter(()))


async def test_the_loop_is_watched_without_figures_too(serve_gateway: Any, until: Any) -> None:
    """Where no figures are counted the line is logged all the same; with 0 seconds nobody looks."""
    for seconds, told in ((0.1, 1), (0, 0)):
        text = ROUTES.format(handlers="told").replace("public: true", "enabled: false")
        text = text.replace("block_warning_seconds: 0.1", f"block_warning_seconds: {seconds}")
        server = await serve_gateway(text, handlers={"told": Told})
        dogs = [thread for thread in threading.enumerate() if thread.name == "gateway watchdog"]
        assert len(dogs) == told
        async with server.client("/it") as client:
            assert await client.ask("block 0.3") == "blocked"
        assert len(lines(server, "loop_blocked")) == told
        await server.gateway.stop()
        await until(lambda dogs=dogs: not any(dog.is_alive() for dog in dogs))


async def test_who_blocks_the_loop_is_named(serve_gateway: Any) -> None:
    """One line and one figure for each time name plugin, file and line; what is quick is not named."""
    server = await serve(serve_gateway, "{}")
    async with server.client("/it") as client:
        assert await client.ask("block 0.01") == "blocked"
        assert await client.ask("block 2") == "blocked"
        assert await client.ask("block 0.4") == "blocked"
    told = lines(server, "loop_blocked")
    assert len(told) == 2
    for line in told:
        assert (line["plugin"], line["function"]) == (PLUGIN, "Told.block")
        file, _, number = line["where"].rpartition(":")
        assert file == __file__
        assert "time.sleep(" in linecache.getline(file, int(number))
        assert line["seconds"] > 0.1
    figures = server.gateway.figures.read()["gateway_loop_blocks_total"]
    assert figures == {(PLUGIN, __file__, number): 2}
