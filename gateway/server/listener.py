"""The listener: the node's socket, served by Sanic's server through the front."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.server.certificates import Certificates
from gateway.server.front import FrontProtocol
from gateway.server.gate import Gate
from gateway.server.sanic_app import find_route

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from sanic import Sanic

    from gateway.config.models import ListenConfig
    from gateway.core.node import Node

__all__ = ["Listener"]

_LOOK_SECONDS: Final = 0.05


class Listener:
    """The serving of one bound socket.

    Args:
        node: Where connections come to live.
        app: The Sanic application, with every route.
        listen: The listener's settings.
        admission: The plugins' admission hooks.
        bound: The socket, bound and listening.
        apart: Whether it is the operators' listener.
    """

    def __init__(
        self,
        node: Node,
        app: Sanic[Any, Any],
        listen: ListenConfig,
        admission: Sequence[tuple[str, Callable[..., Any]]],
        bound: socket.socket,
        *,
        apart: bool = False,
    ) -> None:
        self._node = node
        self._app = app
        self._listen = listen
        self._socket = bound
        address = bound.getsockname()
        self.port = int(address[1]) if isinstance(address, tuple) else 0
        """The TCP port; 0 for a unix-domain socket."""
        self._gate = Gate(
            node, listen, partial(find_route, app), admission, secure=listen.tls is not None, apart=apart
        )
        self._tls: ssl.SSLContext | None = None
        self._server: Any = None

    @property
    def under_way(self) -> int:
        """How many TCP connections have a request that is not decided."""
        return self._gate.arrivals.under_way

    async def start(self) -> None:
        """Begin to accept.

        Raises:
            CertificateFault: If a certificate does not load.
        """
        if self._listen.tls is not None:
            certificates = Certificates(self._listen.tls, self._node)
            await certificates.start()
            self._tls = certificates.context
        server = await self._app.create_server(
            sock=self._socket,
            protocol=self._front,  # type: ignore[arg-type]  # Sanic only calls it
            backlog=self._listen.backlog,
            asyncio_server_kwargs={"start_serving": False},
        )
        assert server is not None  # noqa: S101 - None only with a deprecated argument
        self._server = server
        await server.startup()
        await server.before_start()
        await server.start_serving()
        await server.after_start()
        self._gate.start()

    def _front(self, **sanic: Any) -> FrontProtocol:
        return FrontProtocol(self._gate, sanic, self._tls)

    async def stop_accepting(self) -> None:
        """Close the listening socket; what is open stays open."""
        if self._server is not None and self._server.server is not None:
            self._server.server.close()

    async def settle(self, seconds: float) -> None:
        """Let what has come be decided and answered, once nothing is accepted any more.

        TCP connections that are between two requests end, so that their clients ask whoever accepts now.

        Args:
            seconds: For how long at most.
        """
        loop = self._node.loop
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            waiting = self._end_idle()
            if not waiting and not self.under_way:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _end_idle(self) -> bool:
        """End TCP connections that are between two requests; give whether others are being answered."""
        waiting = False
        for protocol in tuple(self._server.connections):
            transport = protocol.transport
            if transport is None or transport.get_protocol() is not protocol:
                continue  # its next request has begun, and is among those under way
            waiting = not protocol.close_if_idle() or waiting
        return waiting

    async def stop(self) -> None:
        """End what is still served, and Sanic's own tasks; also after a start that failed."""
        await self.stop_accepting()
        self._gate.arrivals.stop()
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
