"""Certificates that serve without a gateway, and clients that look at them."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.broker.memory import MemoryBroker
from gateway.config.models import TlsConfig
from gateway.core.node import Node
from gateway.observe.logs import make_logger
from gateway.server.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import trustme

NEVER_SECONDS = 86_400


class Echo(asyncio.Protocol):
    """What is served: bytes come back. The clients' certificates are noted."""

    def __init__(self, peers: list[Any]) -> None:
        self.peers = peers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport: Any = transport
        self.peers.append(transport.get_extra_info("peercert"))

    def data_received(self, data: bytes) -> None:
        """Send them back."""
        self.transport.write(data)


class Bench(SimpleNamespace):
    """Certificates that serve, and clients that look at them."""

    node: Node
    stream: io.StringIO
    certificates: Certificates
    port: int
    trust: ssl.SSLContext
    stack: AsyncExitStack
    peers: list[Any]

    async def look(self) -> None:
        """Look at the files twice, which is what it takes to use a change."""
        await self.certificates.refresh()
        await self.certificates.refresh()

    async def open(
        self, name: str = "a.test", trust: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open TLS as a client that asks for a server name."""
        return await self.dial(ssl=trust or self.trust, server_hostname=name)

    async def dial(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open TCP, which ends with the test."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)

        async def close() -> None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

        self.stack.push_async_callback(close)
        return reader, writer

    async def shown(self, name: str = "a.test", trust: ssl.SSLContext | None = None) -> bytes:
        """Give the certificate that a new client is shown, once bytes have gone both ways."""
        reader, writer = await self.open(name, trust)
        await self.echoes(reader, writer)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown

    @staticmethod
    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Assert that a connection lives."""
        writer.write(b"hello")
        async with asyncio.timeout(10):
            assert await reader.readexactly(5) == b"hello"

    def events(self, event: str) -> list[dict[str, Any]]:
        """Give the log lines of an event."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def issue(authority: trustme.CA, tmp_path: Path) -> Callable[..., bytes]:
    """Give a function that writes a certificate and its key into one file of the test's folder.

    It gives the certificate in DER form; `by` is another authority.
    """

    def issue(file: str, *names: str, by: trustme.CA = authority, **options: Any) -> bytes:
        issued = by.issue_cert(*names, **options)
        # As careful people do it: the file is whole whenever it is there.
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{file}.new")
        (tmp_path / f"{file}.new").replace(tmp_path / file)
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    return issue


@pytest_asyncio.fixture
async def bench(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Callable[..., Awaitable[Bench]]]:
    """Give a function that serves `tls` with the certificate `a.pem` of the test's folder."""
    async with AsyncExitStack() as stack:

        async def bench(**tls: Any) -> Bench:
            stream = io.StringIO()
            node = Node(MemoryBroker(), make_logger("debug", "json", stream))
            await node.start()
            stack.push_async_callback(node.stop)
            data = {"certificate": "a.pem", "key": "a.pem", "reload_seconds": NEVER_SECONDS, **tls}
            peers: list[Any] = []
            certificates = Certificates(TlsConfig.model_validate(data, context={"folder": tmp_path}), node)
            await certificates.start()
            server = await node.loop.create_server(
                lambda: Echo(peers), "127.0.0.1", 0, ssl=certificates.context
            )
            stack.callback(server.close)
            trust = ssl.create_default_context()
            authority.configure_trust(trust)
            port = server.sockets[0].getsockname()[1]
            return Bench(
                node=node,
                stream=stream,
                certificates=certificates,
                port=port,
                trust=trust,
                stack=stack,
                peers=peers,
            )

        yield bench
