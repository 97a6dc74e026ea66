"""Tests of a reload: nobody is refused, nothing is missed, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from many import Client, open_one, read_figures

from gateway.app import control

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CLIENTS = {2: 1000, 1: 300}
"""How many come back, by the number of workers."""
PATIENCE_SECONDS = 30
OPENING = (
    b"GET /crew HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
OPENED = ("gateway_connections_opened_total", "/news")

LIVELY = """
    plugins: {{live: {{enabled: false}}}}
    listen: {{port: {port}, workers: {workers}, drain_seconds: {drain}, backlog: 4096}}
    metrics: {{public: true}}
    api: {{tokens: [{{name: ops, token: a-token}}]}}
    groups: [{{pattern: "news", history: {{size: 1000, seconds: 300}}}}]
    routes:
      - {{path: /news, allow_missing_origin: true, groups: [news], envelope: json}}
      - {{path: /own, allow_missing_origin: true, authenticate: [token]}}
    authentication: {{token: {{keys: [{{name: ada, user: ada, token: adas-token}}]}}}}
"""


class Traffic:
    """Publications to the group all the while, and newcomers who open connections one after another."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.offsets: list[int] = []
        self.newcomers = 0
        self.refusals: list[str] = []
        self.stopping = asyncio.Event()

    async def publish(self) -> None:
        """Publish, each time over a TCP connection of its own, until told to stop."""
        url = f"http://127.0.0.1:{self.address[1]}/api/publish"
        headers = {"Authorization": "Bearer a-token", "Connection": "close"}
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
            while not self.stopping.is_set():
                number = len(self.offsets)
                async with http.post(url, json={"group": "news", "data": number}) as response:
                    assert response.status == 200, await response.text()
                    self.offsets.append((await response.json())["offset"])
                await asyncio.sleep(0.05)

    async def come(self) -> None:
        """Open connections and end them until told to stop."""
        while not self.stopping.is_set():
            connection = await open_one(self.address, "/news")
            self.newcomers += 1
            if connection.refusal:
                self.refusals.append(connection.refusal)
            else:
                connection.transport.abort()
                await connection.ended


def free_address() -> tuple[str, int]:
    """Give an address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address: tuple[str, int] = free.getsockname()
        return address


async def own(address: tuple[str, int]) -> int:
    """Open the route that only one user may; give the status of the answer."""
    headers = {"Authorization": "Bearer adas-token"}
    async with aiohttp.ClientSession(headers=headers) as http:
        try:
            await (await http.ws_connect(f"http://127.0.0.1:{address[1]}/own")).close()
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status
        return 101


async def revoke(address: tuple[str, int]) -> None:
    """Revoke that user."""
    url = f"http://127.0.0.1:{address[1]}/api/revoke"
    headers = {"Authorization": "Bearer a-token"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json={"user": "ada"}) as response,
    ):
        assert response.status == 200


@pytest.mark.parametrize("workers", CLIENTS)
async def test_nobody_is_refused_and_nothing_is_missed(
    workers: int,
    folder: Path,
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
    command: Callable[..., Any],
) -> None:
    """Clients come back over a reload under traffic: none is refused, each gets all there was.

    With two workers they are a thousand. One worker keeps the history as well, though no broker is named.
    """
    address = free_address()
    write(LIVELY.format(port=address[1], workers=workers, drain=1))
    running = await run(environ={"TMPDIR": str(folder)})
    await running.printed_lines(1)
    traffic = Traffic(address)
    clients = [Client(address, "/news") for _ in range(CLIENTS[workers])]
    leaving = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.live(leaving))
        work = [tasks.create_task(each) for each in (traffic.publish(), traffic.come(), traffic.come())]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(client.opened for client in clients) or len(traffic.offsets) < 5:
                await asyncio.sleep(0.02)
        assert await own(address) == 101
        await revoke(address)
        write(LIVELY.format(port=address[1], workers=workers, drain=2))
        running.signal(signal.SIGHUP)
        reloaded = await running.logged("reloaded")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(client.opened == 2 for client in clients if not client.refusals):
                await asyncio.sleep(0.02)
        traffic.stopping.set()
        await asyncio.wait(work)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for client in clients:
                while not client.offsets or client.offsets[-1] != traffic.offsets[-1]:
                    client.take()
                    await asyncio.sleep(0)
        leaving.set()
        assert {await own(address) for _ in range(5)} == {401}  # no worker has forgotten it
        # What the former workers counted stays, and none has died. Workers tell each other once a second.
        opened = sum(client.opened for client in clients) + traffic.newcomers
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (figures := await read_figures(address))[OPENED] != opened:
                assert figures[OPENED] < opened
                await asyncio.sleep(0.1)
        assert figures["gateway_workers_ended_total",] == 0
        for client in clients:
            client.abort()

    assert [client.refusals for client in clients if client.refusals] == []
    assert traffic.refusals == []
    assert traffic.newcomers > 50
    assert {code for client in clients for code in client.codes[:-1]} == {1012}
    assert sum(client.unrecovered for client in clients) == 0
    for client in clients:
        begin = traffic.offsets.index(client.offsets[0])
        assert client.offsets == traffic.offsets[begin:]
    assert len([line for line in running.events if line["event"] == "worker_started"]) == 2 * workers
    assert reloaded["changes"] == ["listen.drain_seconds changes from 1.0 to 2.0"]
    running.signal(signal.SIGTERM)
    assert await running.exit_status() == 0
    assert running.session() == []
    assert [line for line in running.events if line["level"] in {"warning", "error"}] == []


@pytest.fixture
def ask(command: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A function that runs a command to its end, while the test goes on."""

    async def ask(*arguments: str) -> Any:
        return await asyncio.to_thread(command, *arguments)

    return ask


@pytest.fixture
def ask_inside(inside: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A function that does so in a thread of this process."""

    async def ask(*arguments: str) -> Any:
        return await asyncio.to_thread(inside, *arguments)

    return ask


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_slowly(address: tuple[str, int]) -> Streams:
    """Begin to open a connection, before another that is answered."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(OPENING[:30])
    return reader, writer


async def keep_alive(address: tuple[str, int]) -> Streams:
    """Ask something over a TCP connection that stays open; give it after the answer."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len('{"status":"ok"}'))
    return reader, writer


async def told(file: Path, do: str) -> Any:
    """Ask the gateway of a file, as the commands do."""
    answer = await asyncio.to_thread(control.ask, file, None, {"do": do})
    answer.close()
    return answer.told


async def test_what_is_wrong_changes_nothing(
    folder: Path, crew: Callable[..., Awaitable[Any]], ask: Callable[..., Awaitable[Any]]
) -> None:
    """A file with errors, a change that takes a restart, a plugin that fails: told, and all goes on."""
    gateway = await crew(workers=1)
    file = folder / "gateway.yaml"
    good = file.read_text("utf-8")
    async with gateway.connect() as client:
        worker = int(await client.recv())
        file.write_text(good.replace("handlers", "handlrs").replace("[crew]", "[crow]"), "utf-8")
        done = await ask("reload")
        *wrong, verdict = done.stderr.splitlines()
        assert (done.returncode, verdict) == (1, "not reloaded: the gateway goes on as before")
        assert wrong[0].startswith("gateway.yaml:5:")
        assert "handlrs" in wrong[0]
        assert (await gateway.run.logged("reload_failed"))["problems"] == wrong

        port = str(gateway.address[1])
        file.write_text(good.replace(port, "1").replace("workers: 1", "workers: 2"), "utf-8")
        assert (await told(file, "reload"))["problems"] == [
            f"listen.port changes from {port} to 1: that takes a restart",
            "listen.workers changes from 1 to 2: that takes a restart",
        ]

        file.write_text(good, "utf-8")
        (folder / "fail").touch()
        outcome = await told(file, "reload")
        assert outcome["problems"][0].endswith("hook gateway_start failed: OSError: told to fail")
        status = await told(file, "status")
        assert [one["pid"] for one in status["workers"]] == [worker]
        assert status["last_reload"] == outcome
        await client.send("still here")
        assert await client.recv() == "still here"
    # Nor does a reload that waits for a plugin hold up a stop.
    (folder / "fail").rename(folder / "wait")
    gateway.run.signal(signal.SIGHUP)
    await gateway.run.until(lambda: "waiting" in gateway.run.printed)
    gateway.run.signal(signal.SIGTERM)
    assert await gateway.run.exit_status() == 0
    await gateway.all_gone()


async def test_a_reload_a_status_and_a_stop(
    folder: Path,
    crew: Callable[..., Awaitable[Any]],
    ask: Callable[..., Awaitable[Any]],
    ask_inside: Callable[..., Awaitable[Any]],
) -> None:
    """One worker gives way to another; what runs is told; a stop waits for the end, and leaves nothing."""
    gateway = await crew("opening_timeout_seconds: 50", workers=1)
    file = folder / "gateway.yaml"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway.connect())
        former = int(await client.recv())
        slow = await open_slowly(gateway.address)
        idle = await keep_alive(gateway.address)
        for _, writer in (slow, idle):
            stack.callback(writer.close)
        file.write_text(file.read_text("utf-8").replace("drain_seconds: 0", "drain_seconds: 0.5"), "utf-8")
        done = await ask("reload")
        assert (done.returncode, done.stderr) == (0, "")
        change, outcome = done.stdout.splitlines()
        assert change == "listen.drain_seconds changes from 0.0 to 0.5"
        assert outcome.startswith("reloaded in ")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.wait_closed()
        assert client.close_code == 1012
        # Who asked before is answered by whom they asked, and who has nothing to ask is let go.
        assert await idle[0].read() == b""
        slow[1].write(OPENING[30:])
        assert await slow[0].readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        successor = await stack.enter_async_context(gateway.connect())
        assert int(await successor.recv()) == gateway.workers[0] != former
        await gateway.gone(former)
        status = (await ask("status")).stdout
        assert f"worker 0     serving, process {gateway.workers[0]}, " in status
        assert ", done in " in status
        assert "broker       memory" in status
    # What a reload first asks to be kept is kept from then on.
    file.write_text(file.read_text("utf-8") + "groups: [{pattern: news, history: {}}]\n", "utf-8")
    assert (await ask_inside("reload")).returncode == 0
    assert "broker       embedded" in (await ask_inside("status")).stdout
    done = await ask("stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert gateway.run.session() == []
    assert await gateway.run.exit_status() == 0
    assert list((folder / "runtime" / "gateway").iterdir()) == []
    done = await ask_inside("status")
    assert (done.returncode, done.stderr) == (1, "no gateway runs with gateway.yaml\n")
