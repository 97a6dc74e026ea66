"""The gate: the way of an opening handshake from its request to a connection or a refusal."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.auth.credentials import find
from gateway.auth.failed_checks import HOOK, FailedChecks
from gateway.auth.pipeline import ask_admission, authenticate
from gateway.broker.memory import MemoryBroker
from gateway.core.envelope_connection import EnvelopeConnection
from gateway.core.opening import Opening
from gateway.core.request import OpeningRequest
from gateway.core.shared_frames import EAGER_BYTES
from gateway.core.socket_connection import SocketConnection
from gateway.protocol.handshake import check_handshake, choose_subprotocol, encode_acceptance
from gateway.protocol.origin import show_origin
from gateway.protocol.refusals import Refused, refuse
from gateway.server.address import peer_address
from gateway.server.arrivals import Arrivals
from gateway.server.descriptors import Descriptors
from gateway.server.limits import Admissions
from gateway.server.proxies import TrustedProxies
from gateway.server.refusal_counts import count_refusal
from gateway.server.shared_counts import SharedCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from gateway.config.models import ListenConfig
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.resuming import Arrival
    from gateway.core.route import Route
    from gateway.protocol.head import RequestHead
    from gateway.server.front import FrontProtocol
    from gateway.server.limits import Key

__all__ = ["Found", "Gate"]

Found = tuple["Route", "Mapping[str, str]"]
Admit: TypeAlias = "Callable[[Identity | None, Arrival | None], None]"


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
        apart: Whether it is the operators' listener, which is not bound to the limits on clients, and works
            without the broker.
    """

    def __init__(
        self,
        node: Node,
        listen: ListenConfig,
        find: Callable[[str], Found | None],
        admission: Sequence[tuple[str, Callable[..., Any]]],
        *,
        secure: bool,
        apart: bool = False,
    ) -> None:
        self._apart = apart
        self.listen = listen
        self.find = find
        self._node = node
        self._admission = tuple(admission)
        self._failed_checks = FailedChecks(node)
        for plugin, _ in self._admission:
            for kind in ("error", "timeout"):
                node.metrics.checks_failed[plugin, HOOK, kind] += 0  # what has not failed yet is told too
        self._scheme = "https" if secure else "http"
        node.flusher.secure = node.flusher.secure or secure
        self._proxies = TrustedProxies(listen.trusted_proxies, listen.proxy_header)
        # Operators can look and stop clients while there are no descriptors for these.
        self._descriptors = None if apart else Descriptors(node)
        self.arrivals = Arrivals(node, listen, self._proxies, self._descriptors)
        self._shared: SharedCounts | None = None
        if apart or isinstance(node.broker, MemoryBroker):
            self._limits = Admissions(listen)  # there is no other node, or none that counts
        else:
            counts: Counter[Key] = Counter()
            shared = self._shared = SharedCounts(node, counts)
            self._limits = Admissions(listen, others=shared.count, changed=shared.changed, counts=counts)
            node.inquiries.others = shared.others
        node.connection_ended.append(self._limits.release)

    def start(self) -> None:
        """Begin to look at descriptors, and to share counts of limits with other nodes, if there are some."""
        if self._descriptors is not None:
            self._descriptors.start()
        if self._shared is not None:
            self._shared.start()

    def stop(self) -> None:
        """Share them no more, and look no more."""
        if self._descriptors is not None:
            self._descriptors.stop()
        if self._shared is not None:
            self._shared.stop()

    def identify(self, front: FrontProtocol, head: RequestHead) -> None:
        """Note who makes the request, by the word of trusted proxies where there are some."""
        front.remote = peer_address(front.transport)
        if self.listen.trusted_proxies:
            front.remote, front.scheme = self._proxies.client(front.remote, head.fields)

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
            followed: Whether bytes came after the head.

        Returns:
            The task in which checks wait; `None` if all is decided.

        Raises:
            Refused: With the first check that fails, if none had to wait.
        """
        if found is None:
            raise refuse("not_found")
        route, params = found
        front.route = route.name
        accept = check_handshake(head)
        if followed:
            raise refuse("early_data")
        self._check_ready()
        remote = front.remote
        if not route.origins.admits_request(head.fields, front.scheme or self._scheme):
            raise refuse("origin_not_allowed", show_origin(head.fields.get("origin", [])))
        subprotocol = choose_subprotocol(
            head, route.config.subprotocols, required=route.config.require_subprotocol
        )
        self._limits.knock(remote)
        self._check_room(route, remote)
        agreed = None
        if route.compression is not None:
            agreed = route.compression.agree(head.fields.get("sec-websocket-extensions", []))

        def admit(identity: Identity | None, arrival: Arrival | None) -> None:
            make = partial(EnvelopeConnection, arrival=arrival) if route.enveloped else SocketConnection
            connection = make(
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
            if route.tap is not None:
                route.tap.begin(connection)
            extensions = agreed.answer if agreed is not None else None
            self._hand_over(front, route, connection, encode_acceptance(accept, subprotocol, extensions))

        if not route.authenticators and not self._admission and not route.enveloped:
            admit(None, None)
            return None
        request = OpeningRequest(head, path)
        opening = Opening(
            request,
            route.name,
            params,
            remote,
            subprotocol,
            credential=find(request, route.config.credentials_from) if route.authenticators else None,
            peer_certificate=front.transport.get_extra_info("peercert") or None,
        )
        judging = self._judge(front, route, opening, admit)
        seconds = self.listen.opening_timeout_seconds
        front.tell_late = partial(self._failed_checks.late, judging, route=route.name, seconds=seconds)
        return self._node.stepper.start(judging)

    def _check_room(self, route: Route, remote: str, identity: Identity | None = None) -> None:
        self._check_ready()
        taken = len(self._node.hub) + len(self._node.closing)
        if taken >= self.listen.max_connections and not self._apart:
            raise refuse("too_many_connections")
        self._limits.check(remote, route, identity)

    def _check_ready(self) -> None:
        if self._node.draining:
            raise refuse("draining")
        if self._node.needs_broker and self._node.broker_is_down and not self._apart:
            raise refuse("broker_unavailable")

    async def _judge(self, front: FrontProtocol, route: Route, opening: Opening, admit: Admit) -> None:
        """Ask the route's ways and the admission hooks, some of which may wait; then make the connection."""
        with ExitStack() as stack:
            arrival = None
            try:
                await authenticate(opening, route.authenticators, self._node.revocations)
                await ask_admission(opening, self._admission, self._node.revocations)
                if route.enveloped:
                    arrival = stack.enter_context(self._arriving(route, opening))
                    await arrival.prepare()
                # Others may have come in, and the drain may have begun, while a check waited.
                self._check_room(route, front.remote, opening.identity)
            except Refused as refused:
                front.judged()
                front.refuse(refused)
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - a plugin's code: fails closed
                front.judged()
                if not front.done:
                    self._failed_checks.failed(exc, route=route.name)
                    front.refuse(refuse("internal_error"))
            else:
                front.judged()
                # A check may have swallowed its cancellation, and comes too late.
                if not front.done and not front.transport.is_closing():
                    admit(opening.identity, arrival)

    def _arriving(self, route: Route, opening: Opening) -> AbstractContextManager[Arrival]:
        """Begin to find out what a client has missed."""
        groups = route.groups(opening.params, opening.identity)
        token = opening.request.query_params.get("resume", (None,))[0]
        return self._node.resuming.arriving(groups, token)

    def _hand_over(
        self, front: FrontProtocol, route: Route, connection: SocketConnection, acceptance: bytes
    ) -> None:
        """Give the socket to the connection: from here on frames are spoken."""
        self._limits.admit(connection, route)
        self.arrivals.end(front)
        if self._node.flusher.secure:
            # TCP's own transports have this limit as it is.
            front.transport.set_write_buffer_limits(high=EAGER_BYTES)
        front.hand_over(connection)
        connection.open(acceptance)

    def refused(self, front: FrontProtocol, refused: Refused) -> None:
        """Count and log a refusal."""
        refusal = refused.refusal
        count_refusal(self._node.metrics, refused)
        where = {"route": front.route} if front.route else {}
        self._node.log.info(
            "opening_refused",
            **where,
            logger="gateway.openings",
            status=refusal.status,
            error=refusal.error,
            detail=refused.detail,
            remote=front.remote or peer_address(front.transport),
        )
