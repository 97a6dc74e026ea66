"""Tests of plugins that fail or hang at their start or stop: they are named, and nothing waits for them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from faults import Fault, for_ever
from test_faults import FAULTS, HARMLESS, LATE, PLUGIN

from gateway import Authenticator, Handler, Identity, hookimpl
from gateway.app.parts import PartStartError
from gateway.broker.memory import MemoryBroker
from gateway.core.patience import OverdueError
from gateway.plugin.broker import PluginBroker
from gateway.plugin.manager import PluginProblem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Serve = Callable[..., Awaitable[Served]]


class Witness(Handler):
    """A handler of another plugin's, which notes its end."""

    ended = 0

    def on_stop(self) -> None:
        """Note it."""
        type(self).ended += 1


class WitnessPlugin:
    """That plugin."""

    @hookimpl
    def gateway_handlers(self) -> dict[str, type[Handler[Any]]]:
        """Give it."""
        return {"witness": Witness}


def configuration(fault: str, event: str) -> str:
    """Give a gateway whose second handler does something wrong at its start or stop."""
    options = {"fault": fault, "event": event}
    return json.dumps(
        {
            "listen": {"worker_start_seconds": 1},
            "routes": [
                {"path": "/first", "allow_missing_origin": True, "handlers": ["witness"]},
                {
                    "path": "/fault",
                    "allow_missing_origin": True,
                    "handlers": [{"name": "fault", "options": options}],
                },
            ],
        }
    )


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in HARMLESS])
async def test_a_fault_at_the_start(serve_gateway: Serve, fault: str) -> None:
    """The gateway does not start and says which plugin it is; who waits for ever is named with its line."""
    Witness.ended = 0
    with pytest.raises(PartStartError, match="handler 'fault' of route '/fault'") as caught:
        await serve_gateway(
            configuration(fault, "start"), handlers={"fault": Fault}, plugins=[WitnessPlugin()]
        )
    assert Witness.ended == 1
    if fault in LATE:
        cause = caught.value.cause
        assert isinstance(cause, OverdueError)
        assert (cause.plugin, cause.seconds) == (PLUGIN, 1)
        assert "faults.py:" in cause.place
        assert str(cause) in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_the_stop(serve_gateway: Serve, fault: str) -> None:
    """The gateway ends, the others stop in order, and log and figure name the plugin."""
    Witness.ended = 0
    server = await serve_gateway(
        configuration(fault, "stop"), handlers={"fault": Fault}, plugins=[WitnessPlugin()]
    )
    async with asyncio.timeout(10):
        await server.gateway.stop()
    assert Witness.ended == 1
    assert server.log[-1]["event"] == "stopped"
    assert not any(line["event"] == "end_failed" for line in server.log)
    (failed,) = [line for line in server.errors if line.get("plugin") == PLUGIN] or [{}]
    figures = server.gateway.figures.read()["gateway_handler_errors_total"]
    if fault in HARMLESS:
        assert failed == {}
    elif fault in LATE:
        assert failed["event"] == "stop_timeout"
        assert "faults.py:" in failed["where"]
        assert failed["part"] == "handler 'fault' of route '/fault'"
        assert figures[PLUGIN, "fault", "timeout"] == 1
    else:
        assert failed["event"] == "part_stop_failed"
        assert figures[PLUGIN, "fault", "error"] == 1
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__name__", "") in {"never_gives_up", "for_ever"}:
            task.cancel()


class Hanging:
    """A plugin of which everything hangs at one of its two ends."""

    def __init__(self, event: str, what: str) -> None:
        self.event = event
        self.what = what

    async def _hang(self, event: str, what: str) -> None:
        if event == self.event and what == self.what:
            await for_ever()

    @hookimpl
    async def gateway_start(self) -> None:
        """Hang."""
        await self._hang("start", "hook")

    @hookimpl
    async def gateway_stop(self) -> None:
        """Hang."""
        await self._hang("stop", "hook")

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Give a way that hangs."""
        hang = self._hang

        class Way(Authenticator):
            async def on_start(self, node: Any) -> None:
                await hang("start", "way")

            async def on_stop(self) -> None:
                await hang("stop", "way")

            def authenticate(self, opening: Any) -> Identity:
                return Identity("ann")

        return {"hanging": Way}

    @hookimpl
    def gateway_brokers(self) -> dict[str, type[PluginBroker[Any]]]:
        """Give a broker that hangs."""
        hang = self._hang

        class Broker(PluginBroker):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self._memory = MemoryBroker()
                for name in ("subscribe", "unsubscribe", "publish", "notify", "claim"):
                    setattr(self, name, getattr(self._memory, name))

            async def start(self, *arguments: Any) -> None:
                await self._memory.start(*arguments)
                await hang("start", "broker")

            async def stop(self) -> None:
                await hang("stop", "broker")

            subscribe = unsubscribe = publish = notify = claim = None  # type: ignore[assignment]

        return {"slow": Broker}


ALL = """
listen: {worker_start_seconds: 1}
broker: {type: slow}
routes:
  - {path: /it, allow_missing_origin: true, authenticate: [hanging], handlers: [echo]}
"""
PARTS = {"hook": "hook gateway_{}", "way": "way 'hanging' to authenticate", "broker": "broker 'slow'"}


@pytest.mark.parametrize("what", PARTS)
async def test_hooks_ways_and_brokers_that_hang(serve_gateway: Serve, what: str) -> None:
    """They have a deadline as handlers do, at the start and at the stop."""
    with pytest.raises((PartStartError, PluginProblem)) as caught:
        await serve_gateway(ALL, plugins=[Hanging("start", what)])
    cause = caught.value.__cause__
    assert isinstance(cause, OverdueError)
    assert cause.plugin == "test-0"
    assert "test_starts_and_stops.py:" in cause.place

    server = await serve_gateway(ALL, plugins=[Hanging("stop", what)])
    async with asyncio.timeout(10):
        await server.gateway.stop()
    (line,) = [line for line in server.log if line["event"] == "stop_timeout"]
    assert (line["plugin"], line["part"]) == ("test-0", PARTS[what].format("stop"))
    assert "test_starts_and_stops.py:" in line["where"]
    assert server.log[-1]["event"] == "stopped"


async def test_everything_else_ends_where_one_part_fails(
    serve_gateway: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of our own at the end is in the log, and keeps no broker open and no port taken."""
    server = await serve_gateway(
        configuration("none", ""), handlers={"fault": Fault}, plugins=[WitnessPlugin()]
    )
    ended: list[str] = []
    broker_stop = server.node.broker.stop

    async def stop() -> None:
        ended.append("broker")
        await broker_stop()

    def fail() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(server.node.broker, "stop", stop)
    monkeypatch.setattr(server.gateway.figures, "close", fail)
    await server.gateway.stop()
    assert ended == ["broker"]
    (line,) = [line for line in server.log if line["event"] == "end_failed"]
    assert "a mistake" in line["exception"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
