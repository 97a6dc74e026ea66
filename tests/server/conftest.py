"""Raw clients for the tests of the server, and a gateway that serves plain or TLS."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import trustme

from gateway import hookimpl
from gateway.protocol.refusals import REFUSALS
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from gateway.testing import Served

PATIENCE_SECONDS = (
    15.0  # how long a condition may take on a machine under load; no test expects to wait for it
)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for KEY, by RFC 6455 section 1.3


@dataclass(frozen=True)
class Answer:
    """One HTTP response: header values by lower-case name, several of one name joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, taken for JSON."""
        return json.loads(self.body)


class Wire:
    """The client's end of a TCP connection, with no HTTP of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Hand bytes to TCP."""
        self.writer.write(data)

    async def answer(self, *, has_body: bool = True) -> Answer:
        """Read one response, its body by Content-Length."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            version, status, *_ = status_line.split(" ")
            assert version == "HTTP/1.1"
            headers: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(":")
                headers[name.lower()] = ", ".join(filter(None, (headers.get(name.lower()), value.strip())))
            length = int(headers.get("content-length", 0)) if has_body else 0
            return Answer(int(status), headers, await self.reader.readexactly(length))

    async def message(self) -> Any:
        """Read one short frame of JSON text."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            opcode, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            assert opcode == 0x81
            return json.loads(await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """Read what comes until the server ends TCP."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    async def cut(self) -> bytes:
        """Read until TCP ends, by a reset also; give what came."""
        data = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError, ssl.SSLError):
                while chunk := await self.reader.read(65536):
                    data += chunk
        return data

    async def trickle(self, data: bytes) -> None:
        """Send single bytes for as long as the server reads them, some in each tenth of a second."""
        for value in data:
            with suppress(ConnectionError):
                self.send(bytes([value]))
            try:
                async with asyncio.timeout(0.02):
                    await self.reader._wait_for_data("trickle")
            except TimeoutError:
                pass
            except (ConnectionError, ssl.SSLError):
                return  # cut by a reset
            if self.reader._buffer or self.reader.at_eof():
                return
        pytest.fail("the server reads on and on")

    async def close(self) -> None:
        """End TCP at once, and wait until it is gone."""
        self.writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.writer.wait_closed()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that the tests' clients trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`listen.tls` of a gateway on localhost."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)
    return {"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS of a client that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    """Whether the listener speaks TLS: each test that starts a gateway with `start` runs both ways."""
    return request.param == "tls"


@pytest.fixture
def serving(
    tmp_path_factory: pytest.TempPathFactory, secure: bool, certificate: dict[str, str]
) -> Callable[..., AbstractAsyncContextManager[Served]]:
    """Give a function that serves routes for a block, plain or over TLS, with more keys for `listen`."""

    def serving(
        yaml: str, *, listen: Mapping[str, Any] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Served]:
        section = {"drain_seconds": 0, **({"tls": certificate} if secure else {}), **(listen or {})}
        folder = tmp_path_factory.mktemp("gateway")
        return serve(folder, f"listen: {json.dumps(section)}\n{yaml}", **options)

    return serving


@pytest_asyncio.fixture
async def start(
    serving: Callable[..., AbstractAsyncContextManager[Served]],
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Give a function that serves as `serving` does, until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(yaml: str, **options: Any) -> Served:
            return await stack.enter_async_context(serving(yaml, **options))

        yield start


@pytest_asyncio.fixture
async def dial(start: object, client_tls: ssl.SSLContext) -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """Give a function that opens TCP to a server, and TLS on it where the server speaks it."""
    del start  # its servers stop after the wires have closed
    wires: list[Wire] = []

    async def dial(server: Served, *, tls: bool | None = None, **options: Any) -> Wire:
        if server.secure if tls is None else tls:
            options |= {"ssl": client_tls, "server_hostname": "localhost"}
        if "sock" not in options:
            options |= {"host": "127.0.0.1", "port": server.port}
        wires.append(Wire(*await asyncio.open_connection(**options)))
        return wires[-1]

    yield dial
    for wire in wires:
        await wire.close()


@pytest.fixture
def ask(dial: Callable[..., Awaitable[Wire]]) -> Callable[..., Awaitable[Wire]]:
    """Give a function that opens TCP to a server as `dial` does, and sends bytes."""

    async def ask(server: Served, data: bytes, **options: Any) -> Wire:
        wire = await dial(server, **options)
        wire.send(data)
        return wire

    return ask


@pytest.fixture
def opening() -> Callable[..., bytes]:
    """Give a function that writes an opening handshake.

    Keyword arguments replace a field's value, named in snake case, and None leaves the field out; `lines` are
    added at the end of the header as they are.
    """

    def opening(
        target: str = "/echo",
        *lines: str,
        method: str = "GET",
        version: str = "HTTP/1.1",
        **fields: str | None,
    ) -> bytes:
        usual: dict[str, str | None] = {
            "host": "localhost",
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec_websocket_key": KEY,
            "sec_websocket_version": "13",
        }
        header = [
            f"{name.replace('_', '-').title()}: {value}"
            for name, value in (usual | fields).items()
            if value is not None
        ]
        return "\r\n".join([f"{method} {target} {version}", *header, *lines, "", ""]).encode("latin-1")

    return opening


@pytest.fixture
def plugin() -> Callable[..., object]:
    """Give a function that makes a plugin of hook implementations, by the hooks' names without `gateway_`."""

    def plugin(**hooks: Callable[..., Any]) -> object:
        return SimpleNamespace(**{f"gateway_{name}": hookimpl(hook) for name, hook in hooks.items()})

    return plugin


@pytest.fixture
def pending() -> Callable[[Served], int]:
    """Give a function that counts the deadlines that run in a node."""

    def pending(server: Served) -> int:
        node = server.node
        return sum(len(limits) for limits in (*node._deadlines.values(), *node._rounds.values()))

    return pending


@pytest.fixture
def alive() -> Callable[..., int]:
    """Give a function that counts the objects of classes, by their names, that this test has made.

    What lived before is left out: a test that failed keeps its objects alive in its traceback.
    """
    gc.collect()
    former = [item for item in gc.get_objects() if str(type(item).__module__).startswith("gateway.")]
    known = set(map(id, former))

    def alive(*names: str) -> int:
        gc.collect()
        return sum(type(item).__name__ in names and id(item) not in known for item in gc.get_objects())

    return alive


@pytest.fixture
def refused(
    until: Callable[..., Awaitable[None]], pending: Callable[[Served], int]
) -> Callable[..., Awaitable[Answer]]:
    """Give a function that reads a refusal, and asserts that it is whole and ends its TCP connection."""

    async def refused(
        server: Served, wire: Wire, status: int, error: str, *, has_body: bool = True, **headers: str
    ) -> Answer:
        answer = await wire.answer(has_body=has_body)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
        assert "close" in answer.headers["connection"].lower()
        assert answer.headers["cache-control"] == "no-store"
        for name, value in headers.items():
            assert answer.headers[name.replace("_", "-")] == value
        if has_body:
            # The message is the table's own: nothing of the request is in it.
            assert answer.json == {"error": error, "message": REFUSALS[error].message}
        assert await wire.rest() == b""
        await wire.close()
        await until(lambda: pending(server) == 0)
        assert len(server.node.hub) == 0
        assert server.node.metrics.connections_opened == 0
        assert server.node.sockets == set()
        assert server.node.metrics.refusals[error] > 0
        line = [line for line in server.log if line["event"] == "opening_refused"][-1]
        assert (line["status"], line["error"], line["remote"]) == (status, error, "127.0.0.1")
        return answer

    return refused


@pytest.fixture
def accepted() -> Callable[..., Awaitable[Answer]]:
    """Give a function that reads a 101, asserts its headers, and that the connection echoes."""

    async def accepted(wire: Wire, *, subprotocol: str | None = None) -> Answer:
        answer = await wire.answer()
        expected = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": ACCEPT}
        if subprotocol is not None:
            expected["sec-websocket-protocol"] = subprotocol
        assert (answer.status, dict(answer.headers)) == (101, expected)
        wire.send(b"\x81\x82\x00\x00\x00\x00hi")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await wire.reader.readexactly(4) == b"\x81\x02hi"
        return answer

    return accepted
