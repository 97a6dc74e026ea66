"""A gateway process: a prepared configuration, made to serve."""

from __future__ import annotations

import fnmatch
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from gateway.admin.api import api_blueprint
from gateway.admin.health import health_blueprint
from gateway.broker.memory import MemoryBroker
from gateway.core.dispatch import Dispatch
from gateway.core.node import Node
from gateway.core.route import Route
from gateway.errors import GatewayError
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.origin import OriginPolicy
from gateway.server.listener import Listener, bind
from gateway.server.sanic_app import build_sanic

if TYPE_CHECKING:
    import socket

    from pydantic import BaseModel
    from sanic import Sanic

    from gateway.app.prepare import Prepared
    from gateway.config import Overflow
    from gateway.observe.logs import Logger
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.handler import Handler

__all__ = ["Gateway", "PartStartError"]

# How long closing handshakes and close events may take once the last close frame is sent.
_CLOSE_GRACE_SECONDS: Final = 5.0


class _Part(Protocol):
    """A handler or a way to authenticate."""

    def __init__(self, options: Any) -> None: ...

    def on_start(self, node: Node) -> Any: ...

    def on_stop(self) -> Any: ...


PartType = TypeVar("PartType", bound=_Part)


class PartStartError(GatewayError):
    """A handler or a way to authenticate that failed at its start.

    Args:
        what: Which one.
        cause: What it raised.
    """

    def __init__(self, what: str, cause: Exception) -> None:
        super().__init__(f"{what} failed at its start: {type(cause).__name__}: {cause}")
        self.what = what
        self.cause = cause


class Gateway:
    """One serving process. `start` and `stop` are called once each, in this order.

    Args:
        prepared: The judged configuration.
        log: Where log lines go.
    """

    def __init__(self, prepared: Prepared, log: Logger) -> None:
        self._prepared = prepared
        self._log = log
        self._started: list[tuple[str, _Part]] = []
        self._ways: dict[str, Authenticator[Any]] = {}
        self._listener: Listener | None = None
        self.node: Node
        self.app: Sanic[Any, Any]

    @property
    def port(self) -> int:
        """The TCP port that is served."""
        assert self._listener is not None  # noqa: S101 - only after start
        return self._listener.port

    @property
    def serves_page(self) -> bool:
        """Whether a plugin answers at `/`."""
        ours = {route.path for route in self._prepared.config.routes}
        return "/" not in ours and any(route.path in {"", "/"} for route in self.app.router.routes)

    async def start(self, bound: socket.socket | None = None) -> None:
        """Bind, start plugins and handlers, and begin to accept.

        Args:
            bound: A socket that is bound and listening already; `None` binds what gateway.yaml says.

        Raises:
            OSError: If the address cannot be had.
            PartStartError: If a handler or a way to authenticate fails at its start.
            PluginProblem: If a plugin does, or if two parts claim one path.
        """
        listen = self._prepared.config.listen
        if bound is None:
            bound = bind(listen.host, listen.port, listen.backlog)
        try:
            await self._start(bound)
        except BaseException:
            bound.close()
            await self._end()
            raise

    async def _start(self, bound: socket.socket) -> None:
        config = self._prepared.config
        listen = config.listen
        self.node = node = Node(MemoryBroker(), self._log, policy=self._policy)
        manager = self._prepared.plugins
        for plugin in manager.plugins:
            if plugin.name in self._prepared.plugin_options:
                manager.configure(plugin, self._prepared.plugin_options[plugin.name])
        await node.start()
        for name, (cls, options) in self._prepared.authenticators.items():
            self._ways[name] = await self._begin(f"way {name!r} to authenticate", cls, options)
        await manager.start(node)
        routes = [await self._route(index) for index in range(len(config.routes))]
        blueprints = [health_blueprint(node), *manager.blueprints(node)]
        if config.api.enabled:
            blueprints.append(api_blueprint(node, config.api))
        self.app = build_sanic(config, routes, blueprints, self._log)
        self._listener = Listener(node, self.app, listen, manager.admission(), bound)
        await self._listener.start()
        self._log.info("started", node=node.name, host=listen.host, port=self.port, routes=len(routes))

    def _policy(self, group: str) -> Overflow | None:
        for policy in self._prepared.config.groups:
            if fnmatch.fnmatchcase(group, policy.pattern):
                return policy.overflow
        return None

    async def _route(self, index: int) -> Route:
        config = self._prepared.config.routes[index]
        handlers: list[tuple[str, Handler[Any]]] = []
        for choice in self._prepared.handlers[index]:
            what = f"handler {choice.name!r} of route {config.name!r}"
            handlers.append((choice.name, await self._begin(what, choice.handler, choice.options)))
        origins = OriginPolicy.from_config(config.allowed_origins, missing=config.allow_missing_origin)
        ways = tuple((name, self._ways[name]) for name in config.authenticate)
        return Route(config, Dispatch(handlers), origins, ways)

    async def _begin(self, what: str, cls: type[PartType], options: BaseModel) -> PartType:
        """Make a handler or a way, and have it start."""
        try:
            part = cls(options)
            await _finish(part.on_start(self.node))
        except Exception as exc:
            raise PartStartError(what, exc) from exc
        self._started.append((what, part))
        return part

    async def stop(self, code: int = CloseCode.GOING_AWAY, reason: str = "the gateway stops") -> None:
        """Drain, and end everything that `start` began.

        Args:
            code: With which connections are closed: 1001 for a stop, 1012 for a restart.
            reason: The close reason.
        """
        node = self.node
        node.draining = True
        self._log.info("stopping", node=node.name, connections=len(node.hub))
        # The port stays open meanwhile: who knocks is told 503 and when to come again, and so is who asks
        # whether the node is ready.
        await node.drain(code, reason, self._prepared.config.listen.drain_seconds, _CLOSE_GRACE_SECONDS)
        if self._listener is not None:
            await self._listener.stop_accepting()
        await self._end()
        self._log.info("stopped", node=node.name)

    async def _end(self) -> None:
        """End plugins, handlers and the node, as far as they have begun."""
        node = self.node
        for what, part in reversed(self._started):
            try:
                await _finish(part.on_stop())
            except Exception as exc:  # noqa: BLE001 - a plugin's code at the end: reported, and the others follow
                self._log.error("part_stop_failed", part=what, exc_info=exc)
        await self._prepared.plugins.stop(node)
        if self._listener is not None:
            await self._listener.stop()
        await node.stop()


async def _finish(result: Any) -> None:
    if isawaitable(result):
        await result
