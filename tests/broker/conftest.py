"""Real servers for the brokers, and nodes that talk through them."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from nats_server import NatsServer
from nodes import Servers, Side, make_side
from valkey_server import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One server of each kind, for tests that leave it as it is; each is started at its first use."""
    servers = Servers(tmp_path_factory)
    yield servers
    servers.end()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Callable[..., NatsServer]]:
    """A function that starts a NATS server of the test's own; its arguments are those of `NatsServer`."""
    started: list[NatsServer] = []

    def start(config: str = "", **options: Any) -> NatsServer:
        folder = tmp_path / f"nats-{len(started)}"
        folder.mkdir()
        started.append(NatsServer(folder, config, **options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[Callable[..., ValkeyServer]]:
    """A function that starts a Valkey server of the test's own, with these lines in its configuration."""
    started: list[ValkeyServer] = []

    def start(*config: str) -> ValkeyServer:
        folder = tmp_path / f"valkey-{len(started)}"
        folder.mkdir()
        started.append(ValkeyServer(folder, *config))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest_asyncio.fixture
async def side(servers: Servers) -> AsyncIterator[Callable[..., Awaitable[Side]]]:
    """A function that starts a broker of a kind, as a node has it; its arguments are those of `make_side`."""
    async with AsyncExitStack() as stack:

        async def start(kind: str, name: str = "one", **options: Any) -> Side:
            made = make_side(servers, kind, name, **options)
            stack.push_async_callback(made.broker.stop)
            await made.start()
            return made

        yield start
