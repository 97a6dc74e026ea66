"""The listener: the node's socket, served by Sanic's server through the front."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from gateway.server.front import FrontProtocol
from gateway.server.gate import Gate
from gateway.server.sanic_app import find_route
from gateway.server.tls import make_tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sanic import Sanic

    from gateway.config.models import ListenConfig
    from gateway.core.node import Node

__all__ = ["Listener", "bind"]


def bind(host: str, port: int, backlog: int) -> socket.socket:
    """Bind and listen on a TCP port; 0 takes a free one.

    Raises:
        OSError: If the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


class Listener:
    """The serving of one bound socket.

    Args:
        node: Where connections come to live.
        app: The Sanic application, with every route.
        listen: The listener's settings.
        admission: The plugins' admission hooks.
        bound: The socket, bound and listening.
    """

    def __init__(
        self,
        node: Node,
        app: Sanic[Any, Any],
        listen: ListenConfig,
        admission: Sequence[tuple[str, Callable[..., Any]]],
        bound: socket.socket,
    ) -> None:
        self._node = node
        self._app = app
        self._listen = listen
        self._socket = bound
        self.port = int(bound.getsockname()[1])
        """The TCP port."""
        self._gate = Gate(
            node, listen, lambda path: find_route(app, path), admission, secure=listen.tls is not None
        )
        self._server: Any = None

    async def start(self) -> None:
        """Begin to accept.

        Raises:
            OSError: If the certificate does not load.
        """
        tls = make_tls_context(self._listen.tls) if self._listen.tls is not None else None
        options: dict[str, Any] = {"start_serving": False}
        if tls is not None:
            options["ssl_handshake_timeout"] = self._listen.opening_timeout_seconds
            options["ssl_shutdown_timeout"] = 1.0
        server = await self._app.create_server(
            sock=self._socket,
            ssl=tls,
            protocol=self._front,  # type: ignore[arg-type]  # Sanic only calls it
            backlog=self._listen.backlog,
            asyncio_server_kwargs=options,
        )
        assert server is not None  # noqa: S101 - None only with a deprecated argument
        self._server = server
        await server.startup()
        await server.before_start()
        await server.start_serving()
        await server.after_start()

    def _front(self, **sanic: Any) -> FrontProtocol:
        return FrontProtocol(self._gate, sanic)

    async def stop_accepting(self) -> None:
        """Close the listening socket; what is open stays open."""
        if self._server is not None and self._server.server is not None:
            self._server.server.close()

    async def stop(self) -> None:
        """End what is still served, and Sanic's own tasks; also after a start that failed."""
        await self.stop_accepting()
        self._gate.stop()
        server = self._server
        if server is not None and self._app.state.is_started:
            await server.before_stop()
            for protocol in tuple(server.connections):
                if not protocol.close_if_idle():
                    protocol.abort()
            self._app.shutdown_tasks(0)
            await server.after_stop()
        self._app.unregister_app(self._app)
