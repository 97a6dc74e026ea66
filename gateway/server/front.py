"""The seam between Sanic and the gateway: who owns a TCP connection, and when it changes hands.

A new TCP connection belongs to a `FrontProtocol`. It reads the head of the first request, strictly, and
then the socket goes one of two ways: an opening handshake goes through the gate and becomes a connection,
without Sanic's parser, which lets through what RFC 9112 forbids, and without Sanic's objects, which cost
23 KB a connection. Any other request goes to Sanic, which parses it, routes it and answers. Between two
requests on one TCP connection the socket comes back here, since clients and proxies reuse connections.
So Sanic gets no head that was not judged here, even where a client does not await one answer before it
sends the next request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.protocol.handshake import wants_websocket
from gateway.protocol.head import parse_head
from gateway.protocol.refusals import Refused, refuse
from gateway.protocol.target import parse_target
from gateway.server.sanic_protocol import SanicProtocol
from gateway.server.tls_start import begin_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.protocol.head import RequestHead
    from gateway.server.gate import Gate

__all__ = ["FrontProtocol"]

_HEAD_END: Final = b"\r\n\r\n"
_TLS_HANDSHAKE_RECORD: Final = 0x16


class FrontProtocol(asyncio.Protocol):
    """A TCP connection whose next request has not been read yet.

    Args:
        gate: What judges opening handshakes.
        sanic: The arguments with which Sanic makes its own protocol.
        tls: With what TLS is spoken; `None` for plain TCP.
    """

    __slots__ = (
        "_accepted",
        "_buffer",
        "_gate",
        "_head_only",
        "_http",
        "_made",
        "_pipelined",
        "_sanic",
        "_task",
        "_tls",
        "_write_paused",
        "done",
        "group",
        "remote",
        "route",
        "scheme",
        "tell_late",
        "transport",
    )

    def __init__(self, gate: Gate, sanic: dict[str, Any], tls: ssl.SSLContext | None) -> None:
        self._gate = gate
        self._sanic = sanic
        self._accepted = False
        self._buffer = b""
        self._head_only = False
        self._http: SanicProtocol | None = None
        self._made = False
        self._pipelined = False
        self._task: asyncio.Task[Any] | None = None
        self._tls = tls
        self._write_paused = False
        self.remote = ""
        """The client's address; empty until the head of the request has been read."""
        self.scheme: str | None = None
        """`http` or `https`, if a trusted proxy says which the client spoke."""
        self.route = ""
        """The route's name; empty until it has been found."""
        self.group = ""
        """As what it is counted among those under way, where they are counted by address."""
        self.done = False
        """Whether there is nothing to be decided any more: accepted, refused, or TCP is gone."""
        self.tell_late: Callable[[], None] | None = None
        """Names the check that is waited for; `None` if none is."""
        self.transport: asyncio.Transport
        # The one deadline for everything up to the end of the opening handshake begins here.
        gate.arrivals.begin(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, and begin TLS on it where that is spoken.

        The event loop could do TLS before it calls this, but then a handshake that is never finished could
        be neither counted nor refused.
        """
        self.transport = transport  # type: ignore[assignment]
        self._accepted = True
        if self.done:
            self.transport.abort()
            return
        try:
            self._gate.arrivals.judge(self)
        except Refused as refused:
            self._turn_away(refused)
            return
        if self._tls is None:
            self._made = True
        else:
            begin_tls(self.transport, self, self._tls, self._end_tls)

    def _turn_away(self, refused: Refused) -> None:
        """End TCP before anything is read from it."""
        self.done = True
        self._gate.arrivals.turn_away(self, refused)
        if self._tls is None:
            self.transport.write(refused.refusal.to_bytes())
        self.transport.close()

    def _end_tls(self, transport: asyncio.Transport | None) -> None:
        """Take the socket as TLS gives it, unless its handshake has failed."""
        if self.done or transport is None:
            self._give_up()
            return
        self.transport = transport
        self._made = True
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Gather the head of a request, and pass it on when it is whole."""
        if self.done:
            return
        if not self._made:
            self._buffer += data
            return
        try:
            if self._task is not None:
                raise refuse("early_data")
            self._gather(data)
        except Refused as refused:
            self.refuse(refused)

    def _gather(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if buffer[0] == _TLS_HANDSHAKE_RECORD:
            raise refuse("malformed_request", "TLS on the plain port")
        if buffer.startswith(b"\r\n"):
            buffer = buffer[2:]  # RFC 9112 section 2.2: an empty line before the request line
        limits = self._gate.listen
        end = buffer.find(_HEAD_END)
        # Without its end in sight, the last bytes may be a part of it.
        if (end if end >= 0 else len(buffer) - len(_HEAD_END) + 1) > limits.max_header_bytes:
            raise refuse("headers_too_large", f"limit {limits.max_header_bytes} bytes")
        if end < 0:
            self._buffer = buffer
            return
        self._buffer = b""
        head = parse_head(buffer[:end], max_lines=limits.max_header_lines)
        self._gate.identify(self, head)
        self._head_only = head.method == "HEAD"
        hosts = head.fields.get("host", [])
        path, _ = parse_target(head.target, hosts[0] if hosts else "")
        found = self._gate.find(path)
        if found is None and not wants_websocket(head):
            self._to_sanic(head, buffer)
            return
        if self._pipelined:
            raise refuse("early_data" if wants_websocket(head) else "upgrade_required")
        if self._http is not None:
            self._http.let_go()
            self._http = None
        self._task = self._gate.open(
            self, head, found, path=path, followed=len(buffer) > end + len(_HEAD_END)
        )

    def _to_sanic(self, head: RequestHead, buffer: bytes) -> None:
        fields = head.fields
        if len(fields.get("host", ())) != 1 and (head.version != "1.0" or "host" in fields):
            raise refuse("bad_host")
        if "transfer-encoding" in fields and "content-length" in fields:
            raise refuse("malformed_request", "both Content-Length and Transfer-Encoding")
        if not all(value.isascii() and value.isdigit() for value in fields.get("content-length", ())):
            raise refuse("malformed_request", "Content-Length is not a number")
        self._gate.arrivals.end(self)
        http = self._http
        if http is None:
            http = self._http = SanicProtocol(self, **self._sanic)
            http.connection_made(self.transport)
        if http.conn_info is not None:
            http.conn_info.client_ip = self.remote  # what `request.ip` gives
        self.transport.set_protocol(http)
        http.take(buffer)

    def resume(self, data: bytes, *, pipelined: bool) -> None:
        """Take the socket back from Sanic: the next request begins.

        Args:
            data: Its first bytes.
            pipelined: Whether they came before the last request was answered. No WebSocket client does
                that, and what someone may have meant for a body is not taken for an opening handshake.
        """
        assert self._http is not None  # noqa: S101 - it is what calls
        self._head_only = False
        self._pipelined = pipelined
        self._write_paused = self._http.write_paused
        self.remote, self.scheme, self.route = "", None, ""
        self.transport.set_protocol(self)
        self._gate.arrivals.begin(self)
        try:
            self._gate.arrivals.judge(self)
        except Refused as refused:
            self.refuse(refused)
            return
        self.data_received(data)

    def refuse(self, refused: Refused) -> None:
        """Answer with a refusal, and end TCP."""
        if self.done:
            return
        self.done = True
        self._gate.refused(self, refused)
        if self._task is not None:
            self._task.cancel()
        transport = self.transport
        if transport.is_closing():
            return
        answer = refused.refusal.to_bytes()
        if self._head_only:
            answer = answer[: answer.index(_HEAD_END) + len(_HEAD_END)]  # RFC 9110 section 9.3.2
        transport.write(answer)
        if transport.can_write_eof():
            # Unread bytes would turn a close into a reset, which could overtake the answer: so the peer
            # is shown our end first, and the deadline ends what it does not.
            transport.write_eof()
        else:
            transport.close()
        self._gate.arrivals.linger(self)

    def expire(self) -> None:
        """End what did not come to an end in time."""
        if self.done:
            self.transport.abort()
        elif self._made:
            if self._task is not None and self.tell_late is not None:
                self.tell_late()
            self.refuse(refuse("timeout" if self._task is None else "check_timeout"))
        else:
            self._give_up()

    def _give_up(self) -> None:
        """End TCP before TLS is established."""
        self.done = True
        self._gate.arrivals.end(self)
        if self._accepted:
            self.transport.abort()

    def stop(self) -> None:
        """End TCP, since the gateway stops; a request that has begun is answered first."""
        if not self._made:
            self._give_up()
            return
        if self._buffer or self._task is not None:
            self.refuse(refuse("draining"))
        self.transport.close()

    def pause_writing(self) -> None:
        """Note that the peer is slow to read the last answer, wherever the socket goes next."""
        self._write_paused = True
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Note that the peer has read the last answer."""
        self._write_paused = False
        if self._http is not None:
            self._http.resume_writing()

    def hand_over(self, connection: asyncio.Protocol) -> None:
        """Give the socket to the connection that it has become, and forget it."""
        self.done = True
        self._task = None
        self.transport.set_protocol(connection)
        if self._write_paused:
            # The transport does not say so again, and without it nothing would bound what is written.
            connection.pause_writing()

    def judged(self) -> None:
        """Note that no check of the opening handshake is waited for any more."""
        self._task = None
        self.tell_late = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop judging: there is no one to answer."""
        self.done = True
        self._gate.arrivals.end(self)
        if self._task is not None:
            self._task.cancel()
        if self._http is not None:
            self._http.connection_lost(exc)
