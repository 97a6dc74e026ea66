"""The gate: the way of an opening handshake from its request to a connection or a refusal."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from gateway.core.identity import Identity
from gateway.core.opening import Opening
from gateway.core.request import OpeningRequest
from gateway.core.shared_frames import EAGER_BYTES
from gateway.core.socket_connection import SocketConnection
from gateway.core.stepping import as_coroutine
from gateway.protocol.handshake import check_handshake, choose_subprotocol, encode_acceptance
from gateway.protocol.origin import Origin
from gateway.protocol.refusals import Refusal, Refused, refuse
from gateway.protocol.target import parse_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.models import ListenConfig
    from gateway.core.node import Node
    from gateway.core.route import Route
    from gateway.protocol.head import RequestHead
    from gateway.server.front import FrontProtocol

__all__ = ["Found", "Gate"]

Found = tuple["Route", "Mapping[str, str]"]

_LINGER_SECONDS: Final = 1.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Gate:
    """The judge of opening handshakes.

    The order: the request itself (RFC 6455 section 4.2.1), origin, subprotocol, limits, authentication,
    admission hooks. Whatever refuses first answers.

    Args:
        node: Where connections come to live.
        listen: The listener's limits.
        find: Gives the route and parameters of a path; `None` if no WebSocket route has it.
        admission: The plugins' admission hooks, with the plugins' names.
        secure: Whether the listener speaks TLS.
    """

    def __init__(
        self,
        node: Node,
        listen: ListenConfig,
        find: Callable[[str], Found | None],
        admission: Sequence[tuple[str, Callable[..., Any]]],
        *,
        secure: bool,
    ) -> None:
        self.listen = listen
        self.find = find
        self._node = node
        self._admission = tuple(admission)
        self._fronts: set[FrontProtocol] = set()
        self._scheme = "https" if secure else "http"

    # The deadline.

    def begin(self, front: FrontProtocol) -> None:
        """Start the deadline of a TCP connection's next request."""
        self._fronts.add(front)
        self._node.deadlines(self.listen.opening_timeout_seconds, _expire).begin(front)

    def end(self, front: FrontProtocol) -> None:
        """End the deadline."""
        self._fronts.discard(front)
        self._node.deadlines(self.listen.opening_timeout_seconds, _expire).end(front)
        self._node.deadlines(_LINGER_SECONDS, _abort).end(front)

    def linger(self, front: FrontProtocol) -> None:
        """Give a refused peer a moment to end TCP itself."""
        self._node.deadlines(self.listen.opening_timeout_seconds, _expire).end(front)
        self._node.deadlines(_LINGER_SECONDS, _abort).begin(front)

    def stop(self) -> None:
        """End every TCP connection whose next request is not decided."""
        for front in tuple(self._fronts):
            front.stop()

    # The checks.

    def open(
        self,
        front: FrontProtocol,
        head: RequestHead,
        found: Found | None,
        *,
        path: str,
        followed: bool,
    ) -> asyncio.Task[Any] | None:
        """Judge an opening handshake, and make the connection.

        Args:
            front: The owner of the socket.
            head: The request.
            found: Its route and path parameters.
            path: Its decoded path.
            query: Its query string.
            followed: Whether bytes came after the head.

        Returns:
            The task in which checks wait; `None` if all is decided.

        Raises:
            Refused: With the first check that fails, if none had to wait.
        """
        if found is None:
            raise refuse("not_found")
        route, params = found
        accept = check_handshake(head)
        if followed:
            raise refuse("early_data")
        if self._node.draining:
            raise refuse("draining")
        if not route.origins.admits(head.fields.get("origin", []), self._own_origin(head)):
            raise refuse("origin_not_allowed")
        subprotocol = choose_subprotocol(
            head, route.config.subprotocols, required=route.config.require_subprotocol
        )
        self._check_room()
        agreed = None
        if route.compression is not None:
            agreed = route.compression.agree(head.fields.get("sec-websocket-extensions", []))
        remote = _address(front.transport)

        def admit(identity: Identity | None) -> None:
            connection = SocketConnection(
                node=self._node,
                route=route,
                transport=front.transport,
                head=head.lasting(),
                params=params,
                remote=remote,
                identity=identity,
                subprotocol=subprotocol,
                compression=agreed.outgoing if agreed is not None else None,
                inflater=agreed.incoming if agreed is not None else None,
            )
            extensions = agreed.answer if agreed is not None else None
            self._hand_over(front, connection, encode_acceptance(accept, subprotocol, extensions))

        if not route.authenticators and not self._admission:
            admit(None)
            return None
        opening = Opening(OpeningRequest(head, path), route.name, params, remote, subprotocol)
        return self._node.stepper.start(self._judge(front, route, opening, admit))

    def _check_room(self) -> None:
        if self._node.draining:
            raise refuse("draining")
        if len(self._node.hub) + len(self._node.closing) >= self.listen.max_connections:
            raise refuse("too_many_connections")

    def _own_origin(self, head: RequestHead) -> Origin | None:
        authority = parse_authority(head.fields["host"][0])
        if authority is None:
            return None
        host, port = authority
        return Origin(self._scheme, host, port if port is not None else _DEFAULT_PORTS[self._scheme])

    async def _judge(
        self, front: FrontProtocol, route: Route, opening: Opening, admit: Callable[[Identity | None], None]
    ) -> None:
        """Ask the route's ways and the admission hooks, some of which may wait."""
        try:
            await self._authenticate(route, opening)
            for name, hook in self._admission:
                verdict = hook(opening=opening)
                if isawaitable(verdict):
                    verdict = await as_coroutine(verdict)
                if isinstance(verdict, Refusal):
                    raise Refused(verdict, f"plugin {name}")  # noqa: TRY301
                if verdict is not None:
                    raise TypeError(f"gateway_admit of plugin {name!r} gave {type(verdict).__name__}")  # noqa: TRY301
            # Others may have come in, and the drain may have begun, while a check waited.
            self._check_room()
        except Refused as refused:
            front.judged()
            front.refuse(refused)
        except (Exception, asyncio.CancelledError) as exc:  # a plugin's code: fails closed
            front.judged()
            if not front.done:
                self._node.log.error("opening_check_failed", route=route.name, exc_info=exc)
                front.refuse(refuse("internal_error"))
        else:
            front.judged()
            # A check may have swallowed its cancellation, and comes too late.
            if not front.done and not front.transport.is_closing():
                admit(opening.identity)

    @staticmethod
    async def _authenticate(route: Route, opening: Opening) -> None:
        for _, way in route.authenticators:
            identity = way.authenticate(opening)
            if isawaitable(identity):
                identity = await as_coroutine(identity)
            if isinstance(identity, Identity) and isinstance(identity.user, str):
                opening.identity = identity
                return
            if identity is not None:
                raise TypeError(f"{type(way).__name__}.authenticate gave {type(identity).__name__}")
        if route.authenticators:
            raise refuse("unauthorized", "no credentials")

    def _hand_over(self, front: FrontProtocol, connection: SocketConnection, acceptance: bytes) -> None:
        """Give the socket to the connection: from here on frames are spoken."""
        self.end(front)
        front.transport.set_write_buffer_limits(high=EAGER_BYTES)
        # The answer leaves in one write with whatever the open event sends.
        connection.enqueue(acceptance)
        front.hand_over(connection)
        connection.open()

    def refused(self, front: FrontProtocol, refused: Refused) -> None:
        """Count and log a refusal."""
        refusal = refused.refusal
        self._node.metrics.refusals[refusal.error] += 1
        self._node.log.info(
            "opening_refused",
            status=refusal.status,
            error=refusal.error,
            detail=refused.detail,
            remote=_address(front.transport),
        )


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _expire(front: FrontProtocol) -> None:
    front.expire()


def _abort(front: FrontProtocol) -> None:
    front.transport.abort()
