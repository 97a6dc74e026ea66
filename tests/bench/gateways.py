"""What several processes add: `.venv/bin/python tests/bench/gateways.py --help`.

Fan-out: publications to one group with many members, per second of CPU time of all the server's processes,
the broker among them; on one worker, on two, and on two nodes over NATS and over Valkey. A round has each of
them, started anew; medians are told, and the target judged. Recovery: many clients come back at once, each
with a token, after their gateway was replaced: the time until the last one has everything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop
from harness.machine import cpu_seconds
from harness.summary import Summary, spread
from harness.targets import GATEWAY, ratios
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent / "broker"))

from nats_server import NatsServer
from real_gateway import RealGateway
from valkey_server import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONFIGURATION = """
plugins: {{live: {{enabled: false}}}}
listen:
  {{workers: {workers}, drain_seconds: 0, port: PORT, max_connections: 20000, backlog: 16384,
   max_handshakes: 20000, opening_timeout_seconds: 60}}
resume: {{key: {key}}}
broker: {broker}
routes:
  - {{path: /plain, handlers: [silent], allow_missing_origin: true, groups: [plain]}}
  - {{path: /kept, handlers: [silent], allow_missing_origin: true, envelope: json, groups: [kept]}}
  - {{path: /press, handlers: [press], allow_missing_origin: true}}
groups:
  - {{pattern: kept, history: {{size: 1000, seconds: 300}}}}
"""
KEY = secrets.token_hex(16)
PATIENCE_SECONDS = 120.0
AT_ONCE = 200  # handshakes that clients have under way, unless all come at once
MISSED = 10  # publications
SHAPES = {  # nodes, workers of each, and the broker between them
    "fan-one-worker": (1, 1, ""),
    "fan-two-workers": (1, 2, ""),
    "fan-two-nodes-nats": (2, 1, "nats"),
    "fan-two-nodes-valkey": (2, 1, "valkey"),
}


def main(
    *,
    members: Annotated[int, typer.Option(help="Members of the group.")] = 1000,
    rate: Annotated[int, typer.Option(help="Publications a second.")] = 100,
    seconds: Annotated[float, typer.Option(help="Seconds of fan-out.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of fan-out.")] = 3,
    clients: Annotated[int, typer.Option(help="Clients that come back at once.")] = 10_000,
    broker: Annotated[str, typer.Option(help="Where recovery comes from: `nats` or `valkey`.")] = "nats",
    only: Annotated[str, typer.Option(help="`fan-out` or `recovery`; both unless one is named.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 when a target is missed.")] = False,
    receive: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure fan-out over several processes, and recovery."""
    if receive:
        uvloop.run(_receive(*json.loads(receive)))
        return
    summary = Summary(rounds)
    if only != "recovery":
        _fan_outs(summary, members, rate, seconds, rounds)
    if only != "fan-out":
        _recovery(broker, clients)
    if not summary.close() and strict:
        raise typer.Exit(2)


# Clients.


class _Client(asyncio.Protocol):
    """A connection that is opened by hand, and whose messages are given as they come."""

    def __init__(self, path: str, take: Callable[[_Client, bytes], None]) -> None:
        self._path = path
        self._take = take
        self._opened = False
        self._data = b""
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._opened:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                if not self.ready.done():
                    self.ready.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode()))
                return
            self._opened, self._data = True, rest
            self.ready.set_result(None)
        while len(self._data) >= 2:
            size, start = self._data[1], 2
            if size == 126:
                if len(self._data) < 4:
                    return
                size, start = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < start + size:
                return
            message, opcode = self._data[start : start + size], self._data[0] & 15
            self._data = self._data[start + size :]
            if opcode == 1:
                self._take(self, message)
            elif opcode == 9:
                assert self.transport is not None
                self.transport.write(bytes([0x8A, 0x80 | len(message), 0, 0, 0, 0]) + message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed in the handshake"))


async def _open(
    ports: list[int], paths: Iterable[str], take: Callable[[_Client, bytes], None], at_once: int
) -> list[_Client]:
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(at_once)

    async def one(number: int, path: str) -> _Client:
        async with slots:
            port = ports[number % len(ports)]
            _, client = await loop.create_connection(lambda: _Client(path, take), "127.0.0.1", port)
            await asyncio.wait_for(client.ready, PATIENCE_SECONDS)
            return client

    return list(await asyncio.gather(*(one(number, path) for number, path in enumerate(paths))))


async def _receive(ports: list[int], members: int, expected: int) -> None:
    """Be the members of the group, and tell when all of them have got everything."""
    counted = 0
    done = asyncio.Event()

    def take(_: _Client, message: bytes) -> None:
        nonlocal counted
        if not message.startswith(b"plain x "):
            return
        counted += 1
        if counted == expected * members:
            done.set()

    clients = await _open(ports, ["/plain"] * members, take, AT_ONCE)
    print("ready", flush=True)
    with suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    print(counted, sum(client.lost for client in clients), flush=True)
    sys.stdin.readline()


# Fan-out.


def _fan_outs(summary: Summary, members: int, rate: int, seconds: float, rounds: int) -> None:
    print(f"fan-out: {rate} publications a second to {members:,} members, per CPU second of all processes")
    for _ in range(rounds):
        for name, (nodes, workers, kind) in SHAPES.items():
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                broker, pids = "{type: memory}", []
                if kind:
                    server = _server(stack, kind, folder)
                    broker, pids = f'{{type: {kind}, urls: ["{server.url}"]}}', [server.pid]
                gateways = _start(stack, folder, nodes, workers, broker)
                summary.add(name, uvloop.run(_fan_out(gateways, pids, members, rate, seconds)))
    first = next(iter(SHAPES))
    for name in SHAPES:
        of_first = ratios(summary.samples, (name, GATEWAY), (first, GATEWAY))
        print(f"  {name:<22}{summary.figure(name)} deliveries, {spread(of_first, '.2f')} of one worker's")


def _server(stack: ExitStack, kind: str, folder: Path) -> NatsServer | ValkeyServer:
    made = _made(folder / "broker")
    server = NatsServer(made, jetstream=True) if kind == "nats" else ValkeyServer(made)
    server.start()
    stack.callback(server.end)
    return server


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _start(stack: ExitStack, folder: Path, nodes: int, workers: int, broker: str) -> list[RealGateway]:
    gateways = []
    for number in range(nodes):
        text = CONFIGURATION.format(workers=workers, key=KEY, broker=broker)
        gateways.append(RealGateway(_made(folder / f"gateway-{number}"), text))
        stack.callback(gateways[-1].end)
        gateways[-1].launch()
    for one in gateways:
        one.wait()
    return gateways


async def _fan_out(
    gateways: list[RealGateway], pids: list[int], members: int, rate: int, seconds: float
) -> float:
    count = int(rate * seconds)
    given = json.dumps([[one.port for one in gateways], members, count])
    receiver = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--receive", given, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert receiver.stdout is not None
    assert receiver.stdin is not None
    assert await receiver.stdout.readline() == b"ready\n"
    async with connect(gateways[0].url("/press"), proxy=None) as socket:
        await asyncio.sleep(1)
        watched = [*pids, *(pid for one in gateways for pid in one.session())]
        before = cpu_seconds(watched)
        began = time.monotonic()
        for number in range(count):
            late = began + number / rate - time.monotonic()
            if late > 0:
                await asyncio.sleep(late)
            await socket.send(f"plain x {number:08} {'x' * 44}")
            await socket.recv()
        came, lost = map(int, (await receiver.stdout.readline()).split())
        if came != count * members:
            logs = "".join(one.log_text() for one in gateways)
            raise SystemExit(f"{came:,} deliveries of {count * members:,}, {lost} connections lost\n{logs}")
        spent = cpu_seconds(watched) - before
    receiver.stdin.write(b"\n")
    await receiver.wait()
    return members * count / spent


# Recovery.


def _peak(pid: int) -> float:
    """Give the most MiB that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _recovery(kind: str, clients: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = _server(stack, kind, folder)
        broker = f'{{type: {kind}, urls: ["{server.url}"]}}'
        gateways = _start(stack, folder, 2, 1, broker)
        uvloop.run(_recover(kind, gateways, server.pid, clients))


async def _recover(  # noqa: PLR0915 - one story
    kind: str, gateways: list[RealGateway], server: int, clients: int
) -> None:
    one, other = gateways
    tokens: dict[_Client, str] = {}

    def keep(client: _Client, message: bytes) -> None:
        tokens[client] = json.loads(message).get("resume", tokens.get(client))

    opened = await _open([one.port], ["/kept"] * clients, keep, AT_ONCE)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(tokens) < clients:
            await asyncio.sleep(0.05)
    async with connect(other.url("/press"), proxy=None) as socket:
        await socket.send("kept x 0")
        assert str(await socket.recv()).startswith("ok")
        await asyncio.sleep(2)
        for client in opened:
            assert client.transport is not None
            client.transport.abort()
        await asyncio.to_thread(one.end)
        for number in range(1, MISSED + 1):
            await socket.send(f"kept x {number}")
            assert str(await socket.recv()).startswith("ok")
    (one.folder / "printed").unlink()
    one.launch()
    await asyncio.to_thread(one.wait)
    watched = [one.session(), [server]]
    cpu = [cpu_seconds(pids) for pids in watched]
    got: dict[_Client, list[str]] = {}
    recovered: set[_Client] = set()
    done = asyncio.Event()

    def take(client: _Client, message: bytes) -> None:
        envelope = json.loads(message)
        if envelope.get("recovered"):
            recovered.add(client)
        if "data" in envelope:
            had = got.setdefault(client, [])
            had.append(envelope["data"])
            if len(had) == MISSED:
                counted.add(client)
                if len(counted) == clients:
                    done.set()

    counted: set[_Client] = set()
    began = time.monotonic()
    paths = [f"/kept?resume={token}" for token in tokens.values()]
    again = await _open([one.port], paths, take, clients)
    try:
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    except TimeoutError:
        lost = sum(client.lost for client in again)
        raise SystemExit(
            f"{len(counted):,} of {clients:,} clients have everything, {len(recovered):,} were recovered, "
            f"{lost:,} connections lost\n{one.log_text()[-4000:]}"
        ) from None
    took = time.monotonic() - began
    spent = [cpu_seconds(pids) - former for pids, former in zip(watched, cpu, strict=True)]
    expected = [f"kept x {number}" for number in range(1, MISSED + 1)]
    assert len(recovered) == len(again) == clients
    assert all(some == expected for some in got.values())
    peak = max(map(_peak, one.session()))
    print(
        f"recovery over {kind}: {clients:,} clients at once, {MISSED} publications each: {took:.1f} seconds, "
        f"CPU {spent[0]:.1f} seconds of the gateway and {spent[1]:.1f} of the broker, "
        f"at most {peak:.0f} MiB"
    )
    for client in again:
        assert client.transport is not None
        client.transport.abort()


if __name__ == "__main__":
    typer.run(main)
