"""The seam between Sanic and the gateway: who owns a TCP connection, and when it changes hands.

A new TCP connection belongs to a `FrontProtocol`. It reads the head of the first request, strictly, and
then the socket goes one of two ways: an opening handshake goes through the gate and becomes a connection,
without Sanic's parser, which lets through what RFC 9112 forbids, and without Sanic's objects, which cost
23 KB a connection. Any other request goes to Sanic, which parses it, routes it and answers. Between two
requests on one TCP connection the socket comes back here, since clients and proxies reuse connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sanic.http import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway.protocol.handshake import wants_websocket
from gateway.protocol.head import parse_head
from gateway.protocol.refusals import Refused, refuse
from gateway.protocol.target import parse_target

if TYPE_CHECKING:
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
    """

    __slots__ = ("_buffer", "_done", "_gate", "_http", "_sanic", "_task", "transport")

    def __init__(self, gate: Gate, sanic: dict[str, Any]) -> None:
        self._gate = gate
        self._sanic = sanic
        self._buffer = b""
        self._done = False
        self._http: _SanicProtocol | None = None
        self._task: asyncio.Task[Any] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the one deadline for everything up to the end of the opening handshake."""
        self.transport = transport  # type: ignore[assignment]
        self._gate.begin(self)

    def data_received(self, data: bytes) -> None:
        """Gather the head of a request, and pass it on when it is whole."""
        if self._done:
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
        if end > limits.max_header_bytes or (end < 0 and len(buffer) > limits.max_header_bytes):
            raise refuse("headers_too_large", f"limit {limits.max_header_bytes} bytes")
        if end < 0:
            self._buffer = buffer
            return
        self._buffer = b""
        head = parse_head(buffer[:end], max_lines=limits.max_header_lines)
        hosts = head.fields.get("host", [])
        path, query = parse_target(head.target, hosts[0] if hosts else "")
        found = self._gate.find(path)
        if found is None and not wants_websocket(head):
            self._to_sanic(head, buffer)
            return
        if self._http is not None:
            self._http.let_go()
            self._http = None
        self._task = self._gate.open(
            self, head, found, path=path, query=query, followed=len(buffer) > end + len(_HEAD_END)
        )

    def _to_sanic(self, head: RequestHead, buffer: bytes) -> None:
        if len(head.fields.get("host", ())) != 1 and (head.version != "1.0" or "host" in head.fields):
            raise refuse("bad_host")
        if "transfer-encoding" in head.fields and "content-length" in head.fields:
            raise refuse("malformed_request", "both Content-Length and Transfer-Encoding")
        self._gate.end(self)
        http = self._http
        if http is None:
            http = self._http = _SanicProtocol(self, **self._sanic)
            http.connection_made(self.transport)
        self.transport.set_protocol(http)
        http.take(buffer)

    def resume(self, data: bytes) -> None:
        """Take the socket back from Sanic: the next request begins."""
        self.transport.set_protocol(self)
        self._gate.begin(self)
        self.data_received(data)

    def refuse(self, refused: Refused) -> None:
        """Answer with a refusal, and end TCP."""
        if self._done:
            return
        self._done = True
        self._gate.refused(self, refused)
        if self._task is not None:
            self._task.cancel()
        transport = self.transport
        if transport.is_closing():
            return
        transport.write(refused.refusal.to_bytes())
        if transport.can_write_eof():
            # Unread bytes would turn a close into a reset, which could overtake the answer: so the peer
            # is shown our end first, and the deadline ends what it does not.
            transport.write_eof()
            self._gate.linger(self)
        else:
            transport.close()

    def leave(self) -> None:
        """Forget the socket: it has become a connection."""
        self._done = True
        self._task = None

    def judged(self) -> None:
        """Note that no check of the opening handshake is waited for any more."""
        self._task = None

    @property
    def waits_for_checks(self) -> bool:
        """Whether the request is whole and a check has not answered."""
        return self._task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop judging: there is no one to answer."""
        self._done = True
        self._gate.end(self)
        if self._task is not None:
            self._task.cancel()
        if self._http is not None:
            self._http.connection_lost(exc)


class _SanicProtocol(HttpProtocol):
    """Sanic's HTTP protocol, which gives the socket back between requests."""

    __slots__ = ("_front",)

    def __init__(self, front: FrontProtocol, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._front = front

    def data_received(self, data: bytes) -> None:
        """Pass bytes to Sanic, unless a new request begins with them."""
        http = self.http
        if http is not None and http.stage is Stage.IDLE and not self.recv_buffer and not http.request_body:
            self._front.resume(data)
        else:
            super().data_received(data)

    def take(self, data: bytes) -> None:
        """Pass bytes that begin with a whole head to Sanic."""
        super().data_received(data)

    def let_go(self) -> None:
        """Forget the socket, and end everything that would close it or time it out."""
        self.connections.discard(self)
        self.transport = None  # with no transport, Sanic's `close` does nothing
        if self._callback_check_timeouts is not None:
            self._callback_check_timeouts.cancel()
        if self._task is not None:
            self._task.cancel()
