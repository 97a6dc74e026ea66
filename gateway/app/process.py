"""A gateway process: a prepared configuration, made to serve."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.admin.dashboard import dashboard_blueprint
from gateway.admin.live import Feed
from gateway.admin.looking import Looking
from gateway.admin.nodes import About
from gateway.app.admin_listener import AdminListener
from gateway.app.blueprints import client_blueprints, make_access, operator_blueprints
from gateway.app.figures import make_figures
from gateway.app.isolation import BlockWarnings, guard_plugins
from gateway.app.nodes import make_node
from gateway.app.parts import Parts, PartStartError
from gateway.app.policies import Policies
from gateway.app.routes import make_route
from gateway.auth.renewal import Renewal
from gateway.auth.revocation_file import RevocationFile
from gateway.core.node import node_name
from gateway.core.patience import OverdueError, Patience
from gateway.protocol.close_codes import CloseCode
from gateway.server.address import group_of
from gateway.server.client import client_finder
from gateway.server.listener import Listener
from gateway.server.sanic_app import build_sanic
from gateway.server.sockets import listen_on, listen_on_admin

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from sanic import Sanic

    from gateway.app.figures import ProcessFigures
    from gateway.app.prepare import Prepared
    from gateway.broker.contract import Broker
    from gateway.core.clock import Clock
    from gateway.core.node import Node
    from gateway.core.tap import Tap
    from gateway.observe.gathered import Figures
    from gateway.observe.logs import Logger
    from gateway.plugin.authenticator import Authenticator
    from gateway.server.sockets import ListeningSockets

__all__ = ["Gateway"]

# How long closing handshakes and close events may take once the last close frame is sent.
_CLOSE_GRACE_SECONDS: Final = 5.0


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
        start_seconds: Within which plugins have to have started; `None` for `listen.worker_start_seconds`.
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
        start_seconds: float | None = None,
    ) -> None:
        listen = prepared.config.listen
        self._start_seconds = listen.worker_start_seconds if start_seconds is None else start_seconds
        self._slot = slot
        self._admin: AdminListener | None = None
        self._feed: Feed | None = None
        self._prepared = prepared
        self._policies = Policies(prepared.config.groups)
        self._log = log
        self._clock = clock
        self._around_broker = around_broker
        self._share = share
        self._tap = tap
        self._warnings: BlockWarnings | None = None
        self._ways: dict[str, Authenticator[Any]] = {}
        self._listener: Listener | None = None
        self._sockets: ListeningSockets | None = None
        self._revocation_file: RevocationFile | None = None
        self.figures: ProcessFigures | None = None
        """What it counts; `None` before the start, and where `metrics: enabled` is false."""
        self.node: Node
        self._patience: Patience
        self._parts: Parts
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
            PartStartError: If a handler, a way to authenticate or a plugin's broker fails at its start, or
                does not end it in time.
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
        prepared, config, policies = self._prepared, self._prepared.config, self._policies
        listen = config.listen
        name = node_name()
        self._log = log = self._log.bind(node=name)
        self.node, key = make_node(
            prepared, name, log, policies, clock=self._clock, around_broker=self._around_broker
        )
        node = self.node
        self._patience = Patience(node, self._start_seconds)
        self._parts = parts = Parts(node, self._patience)
        guard_plugins(node, prepared)
        manager = prepared.plugins
        for plugin in manager.plugins:
            if plugin.name in prepared.plugin_options:
                manager.configure(plugin, prepared.plugin_options[plugin.name])
        await self._start_node()
        if config.revocation.file is not None:
            # After the broker: what is revoked meanwhile comes as a note.
            self._revocation_file = RevocationFile(config.revocation.file)
            self._revocation_file.load(node.revocations)
        for name, (cls, options) in prepared.authenticators.items():
            what, whose = f"way {name!r} to authenticate", node.guards.ways.get(name, "")
            self._ways[name] = await parts.begin(what, cls, options, plugin=whose, name=name)
        await manager.start(node, self._patience.start)
        routes = [
            await make_route(entry, choices, node, parts, self._ways, self._tap)
            for entry, choices in zip(config.routes, prepared.handlers, strict=True)
        ]
        blueprints = list(client_blueprints(prepared, node, self._ways))
        access = make_access(prepared, node, self._ways, key, apart=admin is not None)
        self.figures = make_figures(node, routes, config, policies, self._under_way, self._share)
        operators = list(
            operator_blueprints(prepared, node, policies, access, self._revocation_file, self.figures)
        )
        about = About(node, config.broker.type, self._slot)
        read = None if self.figures is None else self.figures.read
        # Also where no operator can come: they may look from another node.
        Looking(node, routes, about, read).begin()
        self._feed = Feed(node, about, read)
        self._feed.start()
        if admin is None:
            blueprints += operators
        self.app = build_sanic(config, routes, blueprints, log)
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
        log.info("started", **where, routes=len(routes))

    async def _start_node(self) -> None:
        """Start the node, and with it the broker, which may be a plugin's."""
        if self._prepared.broker is None:
            await self.node.start()
            return
        try:
            await self._patience.start(*self._broker, self.node.start())
        except OverdueError as exc:
            raise PartStartError(self._broker[1], exc) from exc

    @property
    def _broker(self) -> tuple[str, str]:
        """The plugin that the broker comes from, and what it is called; only if there is such a plugin."""
        assert self._prepared.broker is not None  # noqa: S101 - as said
        module = self._prepared.broker[0].__module__
        name = self._prepared.config.broker.type
        return self.node.guards.owners.plugin_of(module), f"broker {name!r}"

    def _under_way(self) -> int:
        return 0 if self._listener is None else self._listener.under_way

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
        """End plugins, handlers and the node, as far as they have begun, whatever fails of it."""
        ends: list[Callable[[], Any] | None] = [
            self._parts.stop,
            lambda: self._prepared.plugins.stop(self.node, self._patience.stop),
            None if self._warnings is None else self._warnings.close,
            None if self.figures is None else self.figures.close,
            None if self._feed is None else self._feed.stop,
            None if self._admin is None else self._admin.stop,
            None if self._listener is None else self._listener.stop,
            None if self._sockets is None else self._sockets.remove,
            self._stop_node,
        ]
        for end in ends:
            if end is None:
                continue
            try:
                result = end()
                if isawaitable(result):
                    await result
            except Exception as exc:  # noqa: BLE001 - as said
                # A mistake of ours, or a plugin's broker: what is left would hold ports and connections.
                self._log.error("end_failed", exc_info=exc)

    async def _stop_node(self) -> None:
        if self._prepared.broker is None:
            await self.node.stop()
        else:
            await self._patience.stop(*self._broker, self.node.stop())
