"""A pytest plugin for plugin authors: a real gateway on a free port, in the test's own event loop.

It is found by pytest through its entry point, and needs `pytest-asyncio`.
"""

from __future__ import annotations

import io
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from websockets.asyncio.client import connect

from gateway.app import Gateway, prepare
from gateway.observe.logs import make_logger
from gateway.plugin.manager import Plugin
from gateway.plugin.marker import hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    import pytest

    from gateway.core.node import Node
    from gateway.plugin.handler import Handler

__all__ = ["Served", "serve", "serve_gateway"]


@dataclass
class Served:
    """A gateway that serves for a test.

    Args:
        gateway: The running gateway.
        secure: Whether it speaks TLS.
        stream: What it has logged at level debug and up, one JSON object a line.
    """

    gateway: Gateway
    secure: bool
    stream: io.StringIO = field(repr=False)

    @property
    def node(self) -> Node:
        """The node, to publish through and to look into."""
        return self.gateway.node

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self.gateway.port

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far, one mapping a line."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def url(self, path: str) -> str:
        """Give the WebSocket URL of a path."""
        return f"{'wss' if self.secure else 'ws'}://localhost:{self.port}{path}"

    def http_url(self, path: str) -> str:
        """Give the HTTP URL of a path."""
        return f"{'https' if self.secure else 'http'}://localhost:{self.port}{path}"

    def connect(self, path: str, **options: Any) -> connect:
        """Open a connection with the `websockets` library; `options` are those of its `connect`."""
        options.setdefault("proxy", None)
        return connect(self.url(path), **options)


@asynccontextmanager
async def serve(
    folder: Path,
    yaml: str,
    *,
    handlers: Mapping[str, type[Handler[Any]]] | None = None,
    plugins: Iterable[object] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Served]:
    """Serve a configuration on a free port of 127.0.0.1 until the block ends.

    Args:
        folder: An empty folder, for the configuration file.
        yaml: What would stand in gateway.yaml. Host, port and the number of workers in it are ignored.
        handlers: Handlers that are not installed, by the names under which routes use them.
        plugins: Plugins that are not installed: objects with hook implementations.
        environ: The variables that `${NAME}` finds; `None` for none.

    Raises:
        gateway.GatewayError: If the configuration is not good; its text has a line for each error.
    """
    file = folder / "gateway.yaml"
    file.write_text(yaml, encoding="utf-8")
    extra = [Plugin(f"test-{index}", "the test", "", value) for index, value in enumerate(plugins)]
    if handlers is not None:
        given = dict(handlers)
        extra.append(
            Plugin("test-handlers", "the test", "", SimpleNamespace(gateway_handlers=_hook(lambda: given)))
        )
    prepared = prepare(file, environ or {}, extra)
    listen = prepared.config.listen
    local: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "unix": None}
    if "drain_seconds" not in listen.model_fields_set:
        local["drain_seconds"] = 0  # so that a connection that a test leaves open does not hold it up
    listen = listen.model_copy(update=local)
    stream = io.StringIO()
    config = prepared.config.model_copy(update={"listen": listen})
    gateway = Gateway(prepared.with_config(config), make_logger("debug", "json", stream))
    await gateway.start()
    try:
        yield Served(gateway, listen.tls is not None, stream)
    finally:
        await gateway.stop()


def _hook(function: Callable[[], Any]) -> Callable[[], Any]:
    def gateway_handlers() -> Any:
        return function()

    marked: Callable[[], Any] = hookimpl(gateway_handlers)
    return marked


@pytest_asyncio.fixture
async def serve_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Give a function that serves a configuration until the test ends; its arguments are those of `serve`."""
    async with AsyncExitStack() as stack:

        async def start(yaml: str, **options: Any) -> Served:
            folder = tmp_path_factory.mktemp("gateway")
            return await stack.enter_async_context(serve(folder, yaml, **options))

        yield start
