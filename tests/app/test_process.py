"""Tests of a serving process: the order in which plugins and handlers begin and end, and what fails."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Handler, Identity, Options, hookimpl
from gateway.app.prepare import prepare
from gateway.app.process import Gateway
from gateway.observe.logs import make_logger
from gateway.plugin.manager import Plugin, PluginProblem
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sanic import Blueprint


ROUTE = """
listen: {drain_seconds: 0}
plugins: {live: {enabled: false}}
routes:
  - {path: /a, name: a, allow_missing_origin: true, authenticate: [nod], handlers: [first, second]}
  - {path: /b, name: b, allow_missing_origin: true, handlers: [first]}
"""


class Recording:
    """A plugin that writes down what is called, and fails where it is told to."""

    def __init__(self, name: str, calls: list[str], failing: str = "") -> None:
        self.name = name
        self.calls = calls
        self.failing = failing

    def note(self, event: str) -> None:
        """Write down a call."""
        self.calls.append(f"{self.name} {event}")
        if self.failing == event:
            raise RuntimeError(f"{self.name} cannot {event}")

    @hookimpl
    def gateway_configure(self, options: Options) -> None:
        """Note it."""
        assert options == Options()
        self.note("configure")

    @hookimpl
    def gateway_blueprints(self) -> list[Blueprint]:
        """Note it."""
        self.note("blueprints")
        return []

    @hookimpl
    async def gateway_start(self) -> None:
        """Note it after a wait."""
        await asyncio.sleep(0)
        self.note("start")

    @hookimpl
    async def gateway_stop(self) -> None:
        """Note it after a wait."""
        await asyncio.sleep(0)
        self.note("stop")


def recording(calls: list[str], failing: str = "") -> dict[str, type[Handler[Any]]]:
    """Make two handlers that write down what is called: a plain and an async one."""

    class First(Handler):
        def on_start(self, node: Any) -> None:
            calls.append("first start")
            if failing == "start":
                raise RuntimeError("first cannot start")

        def on_stop(self) -> None:
            calls.append("first stop")
            if failing == "stop":
                raise RuntimeError("first cannot stop")

    class Second(Handler):
        async def on_start(self, node: Any) -> None:
            await asyncio.sleep(0)
            calls.append("second start")

        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            calls.append("second stop")

    return {"first": First, "second": Second}


class Nodding:
    """A plugin with a way to authenticate that writes down what is called."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Name the way."""
        calls = self.calls

        class Nod(Authenticator):
            def on_start(self, node: Any) -> None:
                calls.append("nod start")

            async def on_stop(self) -> None:
                calls.append("nod stop")

            def authenticate(self, opening: Any) -> Identity:
                return Identity("ann")

        return {"nod": Nod}


class TestOrder:
    """Plugins, ways and handlers begin in one order and end in the other."""

    async def test_begin_and_end(self, tmp_path: Path) -> None:
        """All plugins are configured first; what has begun last ends first."""
        calls: list[str] = []
        plugins = [Recording("one", calls), Nodding(calls), Recording("two", calls)]
        async with serve(tmp_path, ROUTE, handlers=recording(calls), plugins=plugins):
            assert calls[:2] == ["one configure", "two configure"]
            begun = [call for call in calls if call.endswith("start")]
            assert begun == [
                "nod start",
                "one start",
                "two start",
                "first start",
                "second start",
                "first start",
            ]
            assert {"one blueprints", "two blueprints"} < set(calls)
            calls.clear()
        assert calls == ["first stop", "second stop", "first stop", "nod stop", "two stop", "one stop"]

    async def test_each_use_of_a_handler_is_an_object(self, tmp_path: Path) -> None:
        """A handler that two routes name is made twice, and each has its connections only."""
        made: list[Handler[Any]] = []

        class Counting(Handler):
            def __init__(self, options: Options) -> None:
                super().__init__(options)
                self.opened = 0
                made.append(self)

            def on_open(self, connection: Any) -> None:
                self.opened += 1
                connection.send(f"{connection.route} {self.opened}")

        names = ("first", "second")
        async with serve(
            tmp_path, ROUTE, handlers=dict.fromkeys(names, Counting), plugins=[Nodding([])]
        ) as server:
            for expected in ("b 1", "b 2"):
                async with server.connect("/b") as client:
                    assert await client.recv() == expected
            async with server.connect("/a") as client:
                assert [await client.recv(), await client.recv()] == ["a 1", "a 1"]
        assert len(made) == 3


class TestStopping:
    """A stop closes every connection and goes on to its end whatever fails."""

    @pytest.mark.parametrize(
        ("failing", "event", "field"),
        [
            ("handler", "part_stop_failed", "handler 'first' of route"),
            ("plugin", "plugin_stop_failed", "test-1"),
        ],
    )
    async def test_a_stop_that_raises_keeps_no_other_from_stopping(
        self, tmp_path: Path, failing: str, event: str, field: str
    ) -> None:
        """A handler or plugin that fails at its end is logged, and everything else ends."""
        calls: list[str] = []
        handlers = recording(calls, "stop" if failing == "handler" else "")
        plugins = [
            Nodding(calls),
            Recording("one", calls, "stop" if failing == "plugin" else ""),
            Recording("two", calls),
        ]
        async with serve(tmp_path, ROUTE, handlers=handlers, plugins=plugins) as server:
            pass
        ended = [call for call in calls if call.endswith("stop")]
        assert ended == ["first stop", "second stop", "first stop", "nod stop", "two stop", "one stop"]
        lines = [line for line in server.log if line["event"] == event]
        assert lines
        assert all(field in line.get("part", line.get("plugin")) for line in lines)
        assert all("cannot stop" in line["exception"] for line in lines)
        assert server.log[-1]["event"] == "stopped"

    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [((), 1001, "the gateway stops"), ((1012, "back soon"), 1012, "back soon")],
    )
    async def test_connections_are_closed_with_a_code_that_says_why(
        self, tmp_path: Path, arguments: tuple[Any, ...], code: int, reason: str
    ) -> None:
        """A stop closes with 1001, a restart with 1012, and the node waits for the closing handshakes."""
        async with serve(
            tmp_path, "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]"
        ) as server:
            async with server.connect("/echo") as client:
                await server.gateway.stop(*arguments)
                await client.wait_closed()
                assert (client.close_code, client.close_reason) == (code, reason)
            assert server.node.metrics.connections == 0
            assert len(server.node.sockets) == 0

    async def test_start_and_stop_are_logged(self, tmp_path: Path) -> None:
        """The log tells where the node listens, and when it stops."""
        async with serve(tmp_path, "routes: [{path: /echo, handlers: [echo]}]") as server:
            (started,) = server.log
            assert started["event"] == "started"
            assert started["host"] == "127.0.0.1"
            assert started["port"] == server.port
            assert started["routes"] == 1
        assert [line["event"] for line in server.log] == ["started", "stopping", "stopped"]


class TestFailing:
    """A start that fails leaves nothing behind."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[..., tuple[Gateway, socket.socket]]:
        """A function that makes a gateway of plugins and a bound socket for it."""
        file = tmp_path / "gateway.yaml"
        file.write_text("plugins: {live: {enabled: false}}", encoding="utf-8")

        def make(*values: object) -> tuple[Gateway, socket.socket]:
            plugins = [Plugin(f"p{index}", f"dist-{index}", "1", value) for index, value in enumerate(values)]
            bound = socket.create_server(("127.0.0.1", 0))
            bound.setblocking(False)
            return Gateway(prepare(file, {}, plugins), make_logger("error")), bound

        return make

    @pytest.mark.parametrize(
        ("event", "begun"),
        [
            ("configure", []),
            ("start", ["one start", "one stop"]),
            ("blueprints", ["one start", "two start", "two stop", "one stop"]),
        ],
    )
    async def test_a_plugin_that_fails(
        self, make: Callable[..., tuple[Gateway, socket.socket]], event: str, begun: list[str]
    ) -> None:
        """The error names plugin, distribution and hook; what had begun is ended; the port is free again."""
        calls: list[str] = []
        gateway, bound = make(Recording("one", calls), Recording("two", calls, event))
        address = bound.getsockname()
        with pytest.raises(PluginProblem) as caught:
            await gateway.start(bound)
        hook = f"gateway_{event}"
        expected = (
            f"plugin 'p1' of distribution 'dist-1': hook {hook} failed: RuntimeError: two cannot {event}"
        )
        assert str(caught.value) == expected
        calls.remove(f"two {event}")
        assert [call for call in calls if call.endswith(("start", "stop"))] == begun
        with socket.create_server(address):
            pass

    async def test_a_handler_that_fails(self, tmp_path: Path) -> None:
        """A handler's own error comes through, and handlers and plugins that had begun are ended."""
        calls: list[str] = []

        class Failing(Handler):
            def on_start(self, node: Any) -> None:
                raise LookupError("no such table")

        handlers = recording(calls) | {"second": Failing}
        plugins = [Nodding([]), Recording("one", calls)]
        with pytest.raises(Exception, match="no such table"):
            async with serve(tmp_path, ROUTE, handlers=handlers, plugins=plugins):
                pytest.fail("it started")  # pragma: no cover
        assert calls[-4:] == ["one start", "first start", "first stop", "one stop"]

    async def test_a_start_that_is_cancelled(
        self, make: Callable[..., tuple[Gateway, socket.socket]]
    ) -> None:
        """A start that waits for a plugin can be given up; what had begun is ended."""
        calls: list[str] = []
        waiting = asyncio.Event()

        class Hanging:
            @hookimpl
            async def gateway_start(self) -> None:
                waiting.set()
                await asyncio.Event().wait()

        gateway, bound = make(Recording("one", calls), Hanging())
        address = bound.getsockname()
        starting = asyncio.ensure_future(gateway.start(bound))
        await waiting.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert calls == ["one configure", "one start", "one stop"]
        with socket.create_server(address):
            pass
