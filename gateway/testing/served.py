"""A gateway that serves for a test."""

from __future__ import annotations

import io
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import httpx
from pydantic import BaseModel
from websockets.asyncio.client import connect

from gateway.app.prepare import prepare
from gateway.app.process import Gateway
from gateway.observe.logs import make_logger
from gateway.plugin.manager import Plugin
from gateway.plugin.marker import hookimpl
from gateway.testing.broker import WatchedBroker
from gateway.testing.client import Client
from gateway.testing.published import Published

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker
    from gateway.config import GatewayConfig
    from gateway.core.clock import Clock
    from gateway.core.node import Node
    from gateway.plugin.handler import Handler

__all__ = ["Served", "serve"]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass
class Served:
    """A gateway that serves for a test.

    Args:
        gateway: The running gateway.
        config: What it serves.
        published: What was published on it.
        broker: Its broker.
        handlers: The handler classes that its routes name.
        stream: What it has logged at level debug and up, one JSON object a line.
    """

    gateway: Gateway
    config: GatewayConfig
    published: Published
    broker: WatchedBroker
    handlers: tuple[type[Handler[Any]], ...]
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
    def admin_port(self) -> int | None:
        """The TCP port of the operators' listener on 127.0.0.1; `None` without one."""
        return self.gateway.admin_port

    def admin_url(self, path: str) -> str:
        """Give the HTTP URL of a path on the operators' listener."""
        return f"http://localhost:{self.admin_port}{path}"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far, one mapping a line."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The lines of the log at level error: a handler that failed, a task, an event without an end."""
        return [line for line in self.log if line["level"] == "error"]

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.config.listen.tls is not None

    @property
    def path(self) -> str:
        """The path of the first route, where a parameter such as `{room}` is `room`."""
        return _PARAMETER.sub(r"\1", self.config.routes[0].path)

    @property
    def origin(self) -> str:
        """The gateway's own origin, which a page of its own would send."""
        return self.http_url("")

    def url(self, path: str | None = None) -> str:
        """Give the WebSocket URL of a path; `None` for that of the first route."""
        return (
            f"{'wss' if self.secure else 'ws'}://localhost:{self.port}{self.path if path is None else path}"
        )

    def http_url(self, path: str) -> str:
        """Give the HTTP URL of a path."""
        return f"{'https' if self.secure else 'http'}://localhost:{self.port}{path}"

    def client(self, path: str | None = None, **options: Any) -> Client:
        """Make a client: `async with server.client() as client`, or `await` it.

        Args:
            path: Where it connects; `None` for the path of the first route.
            options: `token`, `headers`, and those of the `connect` of `websockets`, such as `origin`.
        """
        return Client(self.url(path), **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a plain HTTP request, such as to the API or to a plugin's page.

        Args:
            method: Such as `GET`.
            path: With its query, if any.
            options: Those of `httpx.AsyncClient.request`: `headers`, `json`, `content` and the like.
        """
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 - a test's own server
            return await client.request(method, self.http_url(path), **options)

    def connect(self, path: str | None = None, **options: Any) -> connect:
        """Open a connection with the `websockets` library; `options` are those of its `connect`."""
        options.setdefault("proxy", None)
        return connect(self.url(path), **options)

    def broker_outage(self, *, refuse: bool = True) -> AbstractContextManager[None]:
        """Have the broker be out of order until the block ends.

        Claims and histories raise `BrokerUnavailableError` meanwhile, and the gateway is not ready.

        Args:
            refuse: Whether publishing raises it too, as with `when_down: refuse`; otherwise publications
                reach this node's members only, as with `when_down: local`.
        """
        return self.broker.outage(refuse=refuse)


@asynccontextmanager
async def serve(
    folder: Path,
    what: str | Path | type[Handler[Any]],
    *,
    options: Mapping[str, object] | BaseModel | None = None,
    path: str | None = None,
    route: Mapping[str, object] | None = None,
    handlers: Mapping[str, type[Handler[Any]]] | None = None,
    plugins: Iterable[object] = (),
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    published: Published | None = None,
    change: Callable[[GatewayConfig], GatewayConfig] = lambda config: config,
) -> AsyncIterator[Served]:
    """Serve a handler, or a configuration, on a free port of 127.0.0.1 until the block ends.

    Args:
        folder: An empty folder, for the configuration file.
        what: A handler class, which need not be installed; or what would stand in gateway.yaml; or the
            path of such a file. Host, port and the number of workers in it are ignored.
        options: The handler's options. Only for a handler class.
        path: The route's path. The default, `None`, is the name of the class in small letters, and the
            parameters that it requires: `/greet/{room}`. Only for a handler class.
        route: What else gateway.yaml would say of the route. Unless it says otherwise, clients need no
            `Origin`. Only for a handler class.
        handlers: Handlers that are not installed, by the names under which routes use them.
        plugins: Plugins that are not installed: objects with hook implementations.
        environ: The variables that `${NAME}` finds; `None` for none.
        clock: What time it is for handlers; `None` for the system's clock.
        published: Where publications are noted; `None` for a new one.
        change: Changes the configuration after it was judged.

    Raises:
        gateway.GatewayError: If the configuration is not good; its text has a line for each error.
    """
    given = dict(handlers or {})
    if isinstance(what, type):
        given[what.__name__] = what
        what = _configuration(what, options, path, route)
    file = what
    if isinstance(file, str):
        file = folder / "gateway.yaml"
        file.write_text(str(what), encoding="utf-8")
    extra = [Plugin(f"test-{index}", "the test", "", value) for index, value in enumerate(plugins)]
    if given:
        extra.append(
            Plugin("test-handlers", "the test", "", SimpleNamespace(gateway_handlers=_hook(lambda: given)))
        )
    prepared = _made_local(prepare(file, environ or {}, extra), change)
    stream = io.StringIO()
    record = Published() if published is None else published
    brokers: list[WatchedBroker] = []

    def around(broker: Broker) -> Broker:
        brokers.append(WatchedBroker(broker, record))
        return brokers[0]

    gateway = Gateway(prepared, make_logger("debug", "json", stream), clock=clock, around_broker=around)
    await gateway.start()
    try:
        named = tuple(choice.handler for choices in prepared.handlers for choice in choices)
        yield Served(gateway, prepared.config, record, brokers[0], named, stream)
    finally:
        await gateway.stop()


def _made_local(prepared: Prepared, change: Callable[[GatewayConfig], GatewayConfig]) -> Prepared:
    """Give what is prepared with a free port of this machine."""
    config = change(prepared.config)
    local: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "unix": None}
    if "drain_seconds" not in config.listen.model_fields_set:
        local["drain_seconds"] = 0  # so that a connection that a test leaves open does not hold it up
    update: dict[str, Any] = {"listen": config.listen.model_copy(update=local)}
    if config.admin.port is not None:
        update["admin"] = config.admin.model_copy(update={"host": "127.0.0.1", "port": 0})
    return prepared.with_config(config.model_copy(update=update))


def _configuration(
    handler: type[Handler[Any]],
    options: Mapping[str, object] | BaseModel | None,
    path: str | None,
    route: Mapping[str, object] | None,
) -> str:
    """Write the configuration of one route with one handler."""
    if isinstance(options, BaseModel):
        options = options.model_dump(mode="json", exclude_unset=True)
    entry = {
        "path": path
        or "/".join(["", handler.__name__.lower(), *map("{{{}}}".format, handler.required_params)]),
        "allow_missing_origin": True,
        **(route or {}),
        "handlers": [{"name": handler.__name__, "options": dict(options or {})}],
    }
    # JSON is YAML; a text that holds `${` is meant as it is.
    return json.dumps({"routes": [entry]}).replace("${", "$${")


def _hook(function: Callable[[], Any]) -> Callable[[], Any]:
    def gateway_handlers() -> Any:
        return function()

    marked: Callable[[], Any] = hookimpl(gateway_handlers)
    return marked
