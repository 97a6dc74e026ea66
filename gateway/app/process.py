"""A gateway process: a prepared configuration, made to serve."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from gateway.admin.access import ApiAccess
from gateway.admin.api import api_blueprint
from gateway.admin.calls import Calls
from gateway.admin.dashboard import dashboard_blueprint
from gateway.admin.health import health_blueprint
from gateway.admin.live import Feed
from gateway.admin.looking import Looking
from gateway.admin.metrics import metrics_blueprint
from gateway.admin.nodes import About
from gateway.admin.sessions import Sessions, session_key
from gateway.admin.tickets import ticket_blueprint
from gateway.app.admin_listener import AdminListener
from gateway.app.brokers import make_broker
from gateway.app.figures import GroupPatterns, ProcessFigures
from gateway.app.inside import look_inside
from gateway.app.isolation import BlockWarnings, guard_plugins
from gateway.app.policies import Policies
from gateway.app.resume_key import resume_key
from gateway.auth.renewal import Renewal
from gateway.auth.revocation_file import RevocationFile
from gateway.broker.contract import no_history
from gateway.config import LinkedBrokerConfig, PluginBrokerConfig
from gateway.core.dispatch import Dispatch
from gateway.core.node import Node, node_name
from gateway.core.presence import no_presence
from gateway.core.resume import ResumeTokens
from gateway.core.route import Route
from gateway.errors import GatewayError
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.origin import OriginPolicy
from gateway.server.address import group_of
from gateway.server.client import client_finder
from gateway.server.listener import Listener
from gateway.server.sanic_app import build_sanic
from gateway.server.sockets import listen_on, listen_on_admin

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterator

    from pydantic import BaseModel
    from sanic import Blueprint, Sanic

    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker
    from gateway.core.clock import Clock
    from gateway.core.tap import Tap
    from gateway.observe.gathered import Figures
    from gateway.observe.logs import Logger
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.handler import Handler
    from gateway.server.sockets import ListeningSockets

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
        clock: What time it is for handlers; `None` for the system's clock.
        around_broker: Gives what the node has for its broker, as a test may want another around it.
        share: Gives the figures of all workers for those of this one; `None` where there is no other.
        tap: Shows the messages of all routes; `None` unless somebody develops.
        slot: The number of its slot; `None` where there is no other worker.
    """

    def __init__(
        self,
        prepared: Prepared,
        log: Logger,
        *,
        clock: Clock | None = None,
        around_broker: Callable[[Broker], Broker] = lambda broker: broker,
        share: Callable[[Figures], Awaitable[Figures]] | None = None,
        tap: Tap | None = None,
        slot: int | None = None,
    ) -> None:
        self._slot = slot
        self._key = ""
        self._admin: AdminListener | None = None
        self._feed: Feed | None = None
        self._prepared = prepared
        self._policies = Policies(prepared.config.groups)
        self._log = log
        self._clock = clock
        self._around_broker = around_broker
        self._share = share
        self._tap = tap
        self._started: list[tuple[str, _Part]] = []
        self._warnings: BlockWarnings | None = None
        self._ways: dict[str, Authenticator[Any]] = {}
        self._listener: Listener | None = None
        self._sockets: ListeningSockets | None = None
        self._revocation_file: RevocationFile | None = None
        self.figures: ProcessFigures | None = None
        """What it counts; `None` before the start, and where `metrics: enabled` is false."""
        self.node: Node
        self.app: Sanic[Any, Any]

    @property
    def port(self) -> int:
        """The TCP port that is served; 0 for a unix-domain socket."""
        assert self._listener is not None  # noqa: S101 - only after start
        return self._listener.port

    @property
    def admin_port(self) -> int | None:
        """The TCP port of the operators' listener; `None` without one."""
        return None if self._admin is None else self._admin.port

    @property
    def serves_page(self) -> bool:
        """Whether a plugin answers at `/`."""
        ours = {route.path for route in self._prepared.config.routes}
        return "/" not in ours and any(route.path in {"", "/"} for route in self.app.router.routes)

    async def start(self, bound: socket.socket | None = None, admin: socket.socket | None = None) -> None:
        """Bind, start plugins and handlers, and begin to accept.

        Args:
            bound: A socket that is bound and listening already; `None` binds what gateway.yaml says.
            admin: The same for operators.

        Raises:
            OSError: If the address cannot be had.
            BrokerUnavailableError: If the broker is required and cannot be reached.
            PartStartError: If a handler, a way to authenticate or a plugin's broker fails at its start.
            RevocationFileError: If the file of revocations cannot be read.
            PluginProblem: If a plugin does, or if two parts claim one path.
        """
        if bound is None:
            self._sockets = listen_on(self._prepared.config.listen)
            bound = self._sockets.of(0)
        try:
            if admin is None and (own := listen_on_admin(self._prepared.config)) is not None:
                admin = own.of(0)
            await self._start(bound, admin)
        except BaseException:
            bound.close()
            if admin is not None:
                admin.close()
            if hasattr(self, "node"):
                await self._end()
            raise

    async def _start(self, bound: socket.socket, admin: socket.socket | None) -> None:
        config = self._prepared.config
        listen = config.listen
        self.node = node = self._make_node()
        guard_plugins(node, self._prepared)
        manager = self._prepared.plugins
        for plugin in manager.plugins:
            if plugin.name in self._prepared.plugin_options:
                manager.configure(plugin, self._prepared.plugin_options[plugin.name])
        await node.start()
        if config.revocation.file is not None:
            # After the broker: what is revoked meanwhile comes as a note.
            self._revocation_file = RevocationFile(config.revocation.file)
            self._revocation_file.load(node.revocations)
        for name, (cls, options) in self._prepared.authenticators.items():
            self._ways[name] = await self._begin(f"way {name!r} to authenticate", cls, options)
        await manager.start(node)
        routes = [await self._route(index) for index in range(len(config.routes))]
        blueprints = [health_blueprint(node), *manager.blueprints(node)]
        access = self._access(sessions=admin is not None) if config.api.enabled else None
        operators = [] if access is None else [self._api(access)]
        operators += self._metrics(routes, access)
        about = About(node, config.broker.type, self._slot)
        read = None if self.figures is None else self.figures.read
        # Also where no operator can come: they may look from another node.
        Looking(node, routes, about, read).begin()
        self._feed = Feed(node, about, read)
        self._feed.start()
        blueprints += self._tickets()
        if admin is None:
            blueprints += operators
        self.app = build_sanic(config, routes, blueprints, self._log)
        renewal = Renewal({route.name: route.authenticators for route in routes}, manager.admission())
        node.renew = renewal.judge
        self._listener = Listener(node, self.app, listen, manager.admission(), bound)
        await self._listener.start()
        if admin is not None:
            client = client_finder(config.admin.listen(listen))
            operators.append(dashboard_blueprint(node, access, client, group_of))
            self._admin = AdminListener(node, config, access, operators, self._feed, admin)
            await self._admin.start()
        if self.figures is not None:
            self.figures.begin()
        watch = None if self.figures is None else self.figures.watch
        self._warnings = BlockWarnings(node, config.log.block_warning_seconds, watch)
        self._warnings.begin()
        where = (
            {"host": listen.host, "port": self.port} if listen.unix is None else {"unix": str(listen.unix)}
        )
        self._log.info("started", **where, routes=len(routes))

    def _make_node(self) -> Node:
        name = node_name()
        self._log = self._log.bind(node=name)
        history_of = self._policies.history if self._policies.any_history else no_history
        try:
            broker = self._around_broker(make_broker(self._prepared, name, self._log, history_of))
        except Exception as exc:
            raise PartStartError(f"broker {self._prepared.config.broker.type!r}", exc) from exc
        whole = self._prepared.config
        node = Node(
            broker,
            self._log,
            policy=self._policies.overflow,
            name=name,
            clock=self._clock,
            history_of=history_of,
            presence_of=self._policies.presence if self._policies.any_presence else no_presence,
        )
        self._key = resume_key(whole)
        node.resuming.tokens = ResumeTokens(self._key.encode(), whole.resume.seconds, node.now)
        config = whole.broker
        if not isinstance(config, PluginBrokerConfig):
            node.idempotency_seconds = config.idempotency_seconds
        node.needs_broker = isinstance(config, LinkedBrokerConfig) and config.required
        return node

    def _access(self, *, sessions: bool) -> ApiAccess:
        config = self._prepared.config
        tokens, seconds = config.api.active_tokens, config.admin.session_seconds
        return ApiAccess(
            self.node,
            config.api,
            [(name, self._ways[name]) for name in config.api.authenticate],
            self._prepared.plugins.admission(),
            client_finder(config.admin.listen(config.listen) if sessions else config.listen),
            config.listen.opening_timeout_seconds,
            Sessions(tokens, session_key(self._key), seconds, self.node.now) if sessions else None,
        )

    def _api(self, access: ApiAccess) -> Blueprint:
        config = self._prepared.config
        calls = Calls(
            self.node,
            revocation_seconds=config.revocation.seconds,
            leeway_seconds=config.authentication.longest_leeway_seconds,
            keep=None if self._revocation_file is None else self._revocation_file.keep,
        )
        inside = look_inside(self._prepared, self.node, self._policies)
        return api_blueprint(inside, calls, access, max_body_bytes=config.api.max_body_bytes)

    def _metrics(self, routes: list[Route], access: ApiAccess | None) -> Iterator[Blueprint]:
        config = self._prepared.config
        templates = [group for route in config.routes for group in route.groups]
        self.node.hub.pattern_of = GroupPatterns(self._policies, templates).of
        if config.metrics.enabled:
            self.figures = ProcessFigures(self.node, routes, config, self._under_way)
            self.figures.share = self._share
            if config.metrics.public or access is not None:
                yield metrics_blueprint(self.figures.gather, None if config.metrics.public else access)

    def _under_way(self) -> int:
        return 0 if self._listener is None else self._listener.under_way

    def _tickets(self) -> Iterator[Blueprint]:
        config = self._prepared.config
        ticket = config.authentication.ticket
        if ticket is not None:
            yield ticket_blueprint(
                self.node,
                ticket,
                [(name, self._ways[name]) for name in ticket.authenticate],
                routes={str(route.name) for route in config.routes if "ticket" in route.authenticate},
                client=client_finder(config.listen),
                by_cookie=config.takes_cookies(ticket),
                seconds=config.listen.opening_timeout_seconds,
            )

    async def _route(self, index: int) -> Route:
        config = self._prepared.config.routes[index]
        handlers: list[tuple[str, Handler[Any]]] = []
        plugins: dict[str, str] = {}
        for choice in self._prepared.handlers[index]:
            what = f"handler {choice.name!r} of route {config.name!r}"
            handlers.append((choice.name, await self._begin(what, choice.handler, choice.options)))
            plugins[choice.name] = choice.plugin
        origins = OriginPolicy.from_config(config.allowed_origins, missing=config.allow_missing_origin)
        ways = tuple((name, self._ways[name]) for name in config.authenticate)
        guards = {name: self.node.guards.of(plugin) for name, plugin in plugins.items()}
        return Route(
            config, Dispatch(handlers, plugins, guards=guards), origins, ways, self._log, tap=self._tap
        )

    async def _begin(self, what: str, cls: type[PartType], options: BaseModel) -> PartType:
        """Make a handler or a way, and have it start."""
        try:
            part = cls(options)
            await _finish(part.on_start(self.node))
        except Exception as exc:
            raise PartStartError(what, exc) from exc
        self._started.append((what, part))
        return part

    async def stop(
        self,
        code: int = CloseCode.GOING_AWAY,
        reason: str = "the gateway stops",
        *,
        hand_over: bool = False,
    ) -> None:
        """Drain, and end everything that `start` began.

        Args:
            code: With which connections are closed: 1001 for a stop, 1012 for a restart.
            reason: The close reason.
            hand_over: Whether others accept from the same socket, or will: then nobody is refused. Who comes
                is left to them, and who has come gets what they came for.
        """
        node = self.node
        listen = self._prepared.config.listen
        self._log.info("stopping", connections=len(node.hub))
        seconds = listen.drain_seconds
        if hand_over and self._listener is not None:
            await self._listener.stop_accepting()
            if self._admin is not None:
                await self._admin.stop_accepting()
            settling = asyncio.ensure_future(self._listener.settle(listen.opening_timeout_seconds))
            await node.close_all(code, reason, seconds)
            await settling
            seconds = 0.0  # the few that came meanwhile
        # Else the port stays open meanwhile: who knocks is told 503 and when to come again, and so is who
        # asks whether the node is ready.
        await node.drain(code, reason, seconds, _CLOSE_GRACE_SECONDS)
        if self._listener is not None:
            await self._listener.stop_accepting()
        if self._admin is not None:
            await self._admin.stop_accepting()
        await self._end()
        self._log.info("stopped")

    async def _end(self) -> None:
        """End plugins, handlers and the node, as far as they have begun."""
        node = self.node
        for what, part in reversed(self._started):
            try:
                await _finish(part.on_stop())
            except Exception as exc:  # noqa: BLE001 - a plugin's code at the end: reported, and the others follow
                self._log.error("part_stop_failed", part=what, exc_info=exc)
        await self._prepared.plugins.stop(node)
        if self._warnings is not None:
            self._warnings.close()
        if self.figures is not None:
            self.figures.close()
        if self._feed is not None:
            self._feed.stop()
        if self._admin is not None:
            await self._admin.stop()
        if self._listener is not None:
            await self._listener.stop()
        if self._sockets is not None:
            self._sockets.remove()
        await node.stop()


async def _finish(result: Any) -> None:
    if isawaitable(result):
        await result
