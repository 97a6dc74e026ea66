"""The operators' listener: the HTTP API, `/metrics` and the dashboard, apart from where clients connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.health import health_blueprint
from gateway.admin.live import live_route
from gateway.server.listener import Listener
from gateway.server.sanic_app import build_sanic

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sanic import Blueprint, Sanic

    from gateway.admin.access import ApiAccess
    from gateway.admin.live import Feed
    from gateway.config import GatewayConfig
    from gateway.core.node import Node

__all__ = ["AdminListener"]


class AdminListener:
    """The serving of the socket for operators.

    Args:
        node: The node.
        config: The whole configuration.
        access: The judge of operators; `None` while no token is set: there is nothing then but health and
            what is public.
        blueprints: What is served besides.
        feed: What tells operators what the nodes count.
        bound: The socket, bound and listening.
    """

    def __init__(
        self,
        node: Node,
        config: GatewayConfig,
        access: ApiAccess | None,
        blueprints: Sequence[Blueprint],
        feed: Feed,
        bound: socket.socket,
    ) -> None:
        self.access = access
        """The judge of operators; `None` while no token is set."""
        routes = [] if access is None else [live_route(feed, access)]
        self.app: Sanic[Any, Any] = build_sanic(
            config, routes, [health_blueprint(node), *blueprints], node.log
        )
        settings = config.admin.listen(config.listen)
        self._listener = Listener(node, self.app, settings, (), bound, apart=True)
        self._node = node

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to accept."""
        await self._listener.start()
        self._node.log.info("admin_started", port=self.port)

    async def stop_accepting(self) -> None:
        """Close the listening socket; what is open stays open."""
        await self._listener.stop_accepting()

    async def stop(self) -> None:
        """End what is still served."""
        await self._listener.stop()
