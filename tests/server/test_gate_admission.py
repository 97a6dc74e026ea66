"""Tests of the gate: plugins that judge opening handshakes, well or badly, at once or after a while."""

from __future__ import annotations

import asyncio
import linecache
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Identity, Refusal, Refused, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
KNOCK = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    authenticate: [knock]
    groups: ["user:{user}"]
"""
TEAPOT = Refusal(418, "teapot", "no coffee here", (("Retry-After", "60"),))


class Boom(Exception):
    """What a bad plugin raises."""


class Door:
    """An admission hook that waits until it is told to answer."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self.answers = asyncio.Event()

    @hookimpl
    async def gateway_admit(self, opening: Any) -> None:
        """Wait."""
        del opening
        self.waiting += 1
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1


class Stubborn(Door):
    """An admission hook that cannot be cancelled, and then lets the client in."""

    @hookimpl
    async def gateway_admit(self, opening: Any) -> None:
        """Wait, whatever happens."""
        del opening
        self.waiting += 1
        while not self.answers.is_set():
            with suppress(asyncio.CancelledError):
                await self.answers.wait()
        self.waiting -= 1


def raises(opening: Any) -> None:
    """Raise."""
    raise Boom(opening.request.path)


async def raises_later(opening: Any) -> None:
    """Raise after a turn of the loop."""
    await asyncio.sleep(0)
    raises(opening)


def cancels(opening: Any) -> None:
    """Raise what a cancelled future raises."""
    raise asyncio.CancelledError(opening.route)


async def cancels_later(opening: Any) -> None:
    """Await a cancelled future."""
    future = asyncio.get_running_loop().create_future()
    future.cancel(opening.route)
    await asyncio.sleep(0)
    await future


def exits(opening: Any) -> None:
    """End the process."""
    sys.exit(opening.route)


async def exits_later(opening: Any) -> None:
    """End the process after a turn of the loop."""
    await asyncio.sleep(0)
    exits(opening)


LAST_LINES = (
    "raise Boom(opening.request.path)",
    "raise asyncio.CancelledError(opening.route)",
    "await future",
    "sys.exit(opening.route)",
)


def line_at(where: str) -> str:
    """Give a line of a file."""
    file, _, number = where.rpartition(":")
    return linecache.getline(file, int(number))


@pytest.mark.parametrize(
    "admit",
    [raises, raises_later, cancels, cancels_later, exits, exits_later],
    ids=lambda hook: hook.__name__,
)
async def test_hook_that_raises(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, plugin: Callable, admit: Callable
) -> None:
    """An admission hook that raises is a 500 without a word of why, and the log has the traceback."""
    server = await start(ROUTES, plugins=[plugin(admit=admit)])
    await refused(server, await ask(server, opening()), 500, "internal_error")
    line = next(line for line in server.log if line["event"] == "opening_check_failed")
    assert (line["level"], line["route"]) == ("error", "/echo")
    assert (line["plugin"], line["check"]) == ("test-0", "gateway_admit")
    assert admit.__name__ in line["exception"]
    assert line_at(line["where"]).strip() in LAST_LINES
    assert failed_checks(server) == {("test-0", "gateway_admit", "error"): 1}


def failed_checks(server: Any) -> dict[tuple[str, ...], int]:
    """Give the figure of checks that failed, without zeros."""
    found = server.gateway.figures.read()["gateway_opening_checks_failed_total"]
    return {labels: number for labels, number in found.items() if number}


async def test_hook_that_returns_nonsense(
    start: Callable,
    ask: Callable,
    opening: Callable,
    refused: Callable,
    plugin: Callable,
    subtests: pytest.Subtests,
) -> None:
    """An admission hook that gives neither None nor a refusal, at once or later, is a 500."""
    verdict: object = None

    def admit(opening: Any) -> Any:
        return later() if opening.request.query == "later" else verdict

    async def later() -> object:
        await asyncio.sleep(0)
        return verdict

    server = await start(ROUTES, plugins=[plugin(admit=admit)])
    for verdict in (True, False, 0, "no", (), Refused(TEAPOT)):
        for target in ("/echo", "/echo?later"):
            with subtests.test(verdict=verdict, target=target):
                await refused(server, await ask(server, opening(target)), 500, "internal_error")
                failed = [line for line in server.log if line["event"] == "opening_check_failed"]
                assert "gateway_admit of plugin 'test-0'" in failed[-1]["exception"]
                assert failed[-1]["plugin"] == "test-0"
                assert "def admit(" in line_at(failed[-1]["where"])


async def test_hook_that_hangs(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, until: Callable
) -> None:
    """An admission hook that does not answer by the deadline is a 503, and never a connection after it."""

    async def hang(door: Door) -> None:
        server = await start(ROUTES, listen={"opening_timeout_seconds": 0.5}, plugins=[door])
        wire = await ask(server, opening())
        await until(lambda: door.waiting == 1)
        answer = await refused(server, wire, 503, "check_timeout")
        assert int(answer.headers["retry-after"]) > 0
        door.answers.set()
        await until(lambda: door.waiting == 0)
        assert server.node.metrics.connections_opened == 0
        (line,) = (line for line in server.log if line["event"] == "opening_check_timeout")
        assert (line["level"], line["route"], line["seconds"]) == ("error", "/echo", 0.5)
        assert (line["plugin"], line["check"]) == ("test-0", "gateway_admit")
        assert "await self.answers.wait()" in line_at(line["where"])
        assert failed_checks(server) == {("test-0", "gateway_admit", "timeout"): 1}

    await asyncio.gather(hang(Door()), hang(Stubborn()))


async def test_hook_that_answers_while_the_refusal_lingers(
    start: Callable, ask: Callable, opening: Callable, until: Callable
) -> None:
    """A check that comes too late opens nothing, though the client has not ended TCP yet."""
    door = Stubborn()
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.5}, plugins=[door])
    wire = await ask(server, opening())
    assert (await wire.answer()).status == 503
    door.answers.set()
    await until(lambda: door.waiting == 0)
    assert await wire.rest() == b""
    assert server.node.metrics.connections_opened == 0
    assert server.node.sockets == set()


async def test_refusal_of_a_hook(
    start: Callable, ask: Callable, opening: Callable, plugin: Callable, until: Callable
) -> None:
    """A plugin's refusal is the answer, header fields and all; later plugins are not asked."""
    asked: list[str] = []

    def admit(opening: Any) -> Refusal:
        asked.append(opening.route)
        return TEAPOT

    server = await start(ROUTES, plugins=[plugin(admit=admit), plugin(admit=raises)])
    wire = await ask(server, opening())
    answer = await wire.answer()
    assert (answer.status, answer.json) == (418, {"error": "teapot", "message": "no coffee here"})
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("60", "close")
    assert await wire.rest() == b""
    assert asked == ["/echo"]
    assert server.node.metrics.refusals == {"teapot": 1}
    await until(lambda: any(line.get("detail") == "plugin test-0" for line in server.log))


async def test_hooks_that_admit(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, plugin: Callable
) -> None:
    """Every admission hook is asked, plain or async, and sees the opening handshake."""
    seen: list[tuple[object, ...]] = []

    def plain(opening: Any) -> None:
        seen.append(
            (opening.request.query, opening.request.headers["host"], opening.remote, opening.identity)
        )

    async def waits(opening: Any) -> None:
        await asyncio.sleep(0)
        plain(opening)

    def future(opening: Any) -> Any:
        plain(opening)
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        return answer

    hooks = (plain, waits, future, lambda: None)  # the last one asks for no argument
    server = await start(ROUTES, plugins=[plugin(admit=hook) for hook in hooks])
    await accepted(await ask(server, opening("/echo?a=b")))
    assert seen == [("a=b", "localhost", "127.0.0.1", None)] * 3


async def test_bytes_while_a_check_waits(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, until: Callable
) -> None:
    """What comes before our 101 ends the opening handshake, and the check is called off."""
    door = Door()
    server = await start(ROUTES, plugins=[door])
    wire = await ask(server, opening())
    await until(lambda: door.waiting == 1)
    wire.send(b"\x81\x80\x00\x00\x00\x00")
    await refused(server, wire, 400, "early_data")
    await until(lambda: door.cancelled == 1)


@pytest.mark.parametrize("kind", [Door, Stubborn])
async def test_peer_that_leaves_while_a_check_waits(
    start: Callable, ask: Callable, opening: Callable, until: Callable, pending: Callable, kind: type[Door]
) -> None:
    """When the client goes the check is called off, and nothing of it stays."""
    door = kind()
    server = await start(ROUTES, plugins=[door])
    wire = await ask(server, opening())
    await until(lambda: door.waiting == 1)
    await wire.close()
    await until(lambda: pending(server) == 0)
    door.answers.set()
    await until(lambda: door.waiting == 0)
    assert server.node.metrics.connections_opened == 0
    assert server.node.metrics.refusals == {}


async def test_limit_holds_for_those_who_waited(
    start: Callable, ask: Callable, opening: Callable, until: Callable
) -> None:
    """Of opening handshakes whose checks wait together, no more open than there is room for."""
    door = Door()
    server = await start(ROUTES, listen={"max_connections": 2}, plugins=[door])
    wires = [await ask(server, opening()) for _ in range(5)]
    await until(lambda: door.waiting == 5)
    door.answers.set()
    answers = [await wire.answer() for wire in wires]
    assert sorted(answer.status for answer in answers) == [101, 101, 503, 503, 503]
    assert {answer.json["error"] for answer in answers if answer.body} == {"too_many_connections"}
    assert server.node.metrics.connections_opened == 2


async def test_drain_begins_while_a_check_waits(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, until: Callable
) -> None:
    """A node that began to leave in the meantime opens nothing more."""
    door = Door()
    server = await start(ROUTES, plugins=[door])
    wire = await ask(server, opening())
    await until(lambda: door.waiting == 1)
    server.node.draining = True
    door.answers.set()
    await refused(server, wire, 503, "draining")


async def test_stop_while_a_check_waits(
    serving: Callable, start: Callable, ask: Callable, opening: Callable, until: Callable
) -> None:
    """A stop answers those who wait, and ends their TCP connections."""
    del start
    door = Door()
    async with serving(ROUTES, plugins=[door]) as server:
        wire = await ask(server, opening())
        await until(lambda: door.waiting == 1)
    answer = await wire.answer()
    assert (answer.status, answer.json["error"]) == (503, "draining")
    assert await wire.rest() == b""
    await until(lambda: door.cancelled == 1)


class Knock(Authenticator):
    """A way that does what the header `Knock` says."""

    async def authenticate(self, opening: Any) -> Any:
        """Judge."""
        wish = opening.request.headers.get("knock")
        if wish == "hang":
            await asyncio.Event().wait()
        if wish == "raise":
            raise Boom
        if wish == "refuse":
            raise Refused(TEAPOT)
        return {"ada": Identity("ada"), "str": "ada", "true": True, "number": Identity(7)}.get(wish)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("knock", "status", "error"),
    [
        ("hang", 503, "check_timeout"),
        ("raise", 500, "internal_error"),
        ("str", 500, "internal_error"),
        ("true", 500, "internal_error"),
        ("number", 500, "internal_error"),
        ("nobody", 401, "unauthorized"),
    ],
)
async def test_way_that_fails(
    start: Callable,
    ask: Callable,
    opening: Callable,
    refused: Callable,
    plugin: Callable,
    knock: str,
    status: int,
    error: str,
) -> None:
    """A plugin's way that raises, hangs, returns nonsense or proves nothing opens nothing."""
    knocks = plugin(authenticators=lambda: {"knock": Knock})
    server = await start(KNOCK, listen={"opening_timeout_seconds": 0.5}, plugins=[knocks])
    await refused(server, await ask(server, opening("/echo", f"Knock: {knock}")), status, error)
    named = [line for line in server.log if line["event"].startswith("opening_check_")]
    kind = {"internal_error": "error", "check_timeout": "timeout"}.get(error)
    assert failed_checks(server) == ({("test-0", "knock", kind): 1} if kind else {})
    assert [(line["level"], line["plugin"], line["check"]) for line in named] == (
        [("error", "test-0", "knock")] if kind else []
    )
    lines = {"hang": "await asyncio.Event().wait()", "raise": "raise Boom"}
    assert all(lines.get(knock, "def authenticate(") in line_at(line["where"]) for line in named)


async def test_way_that_refuses(start: Callable, ask: Callable, opening: Callable, plugin: Callable) -> None:
    """A plugin's way may refuse with an answer of its own."""
    server = await start(KNOCK, plugins=[plugin(authenticators=lambda: {"knock": Knock})])
    wire = await ask(server, opening("/echo", "Knock: refuse"))
    assert (await wire.answer()).status == 418
    assert await wire.rest() == b""
    assert len(server.node.hub) == 0


async def test_way_that_proves(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, plugin: Callable
) -> None:
    """The identity that a way proves is the hook's to see, and the connection's own."""
    seen: list[Identity] = []
    both = plugin(
        authenticators=lambda: {"knock": Knock}, admit=lambda opening: seen.append(opening.identity)
    )
    server = await start(KNOCK, plugins=[both])
    await accepted(await ask(server, opening("/echo", "Knock: ada")))
    connection = server.node.connections()[0]
    assert (connection.identity, connection.groups) == (Identity("ada"), ("user:ada",))
    assert seen == [Identity("ada")]
