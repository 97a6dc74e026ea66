"""Sanic's HTTP protocol, as the front lends it a socket for one request at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sanic.exceptions import RequestTimeout
from sanic.http import Http, Stage
from sanic.server.protocols.http_protocol import HttpProtocol

if TYPE_CHECKING:
    import asyncio

    from gateway.server.front import FrontProtocol

__all__ = ["SanicProtocol"]

_LINGER_SECONDS: Final = 1.0


class _SanicHttp(Http):
    """Sanic's reading of requests, which begins each with a head that the front has judged."""

    __slots__ = ()

    HEADER_MAX_SIZE = 1 << 30  # the front has its own limit; Sanic's hangs on that of the body
    protocol: SanicProtocol

    def init_for_request(self) -> None:
        """Begin with the next request, which may have come already."""
        super().init_for_request()
        self.protocol.begin_request()

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Begin the answer."""
        self._send = self._send_head
        await super().http1_response_header(data, end_stream)

    async def _send_head(self, data: bytes) -> None:
        """Send the answer's head, without the empty field that Sanic's source-rewriting would take out."""
        self._send = self.protocol.send
        await self._send(data.replace(b"alt-svc: \r\n", b"", 1))

    async def http1_request_header(self) -> None:
        """Read the judged head."""
        self.protocol.judged = False
        await super().http1_request_header()


class SanicProtocol(HttpProtocol):
    """Sanic's HTTP protocol, which gives the socket back between requests."""

    HTTP_CLASS = _SanicHttp

    __slots__ = ("_front", "judged")

    def __init__(self, front: FrontProtocol, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._front = front
        self.judged = False
        """Whether what has been received begins with a head from the front."""

    @property
    def write_paused(self) -> bool:
        """Whether the transport has asked for a pause."""
        return not self._can_write.is_set()

    def data_received(self, data: bytes) -> None:
        """Pass bytes to Sanic, unless a new request begins with them."""
        http = self.http
        if http is not None and http.stage is Stage.IDLE and not self.recv_buffer and not http.request_body:
            self._front.resume(data, pipelined=False)
        else:
            since = self._time
            super().data_received(data)
            self._time = since  # a body that trickles does not move a timeout of Sanic's

    def check_timeouts(self) -> None:
        """Apply Sanic's timeouts, and see to it that they end TCP."""
        timer = self._callback_check_timeouts
        super().check_timeouts()
        http = self.http
        if http is None or self._task is None or self._callback_check_timeouts is not timer:
            return
        # Sanic has given the request up. It answers, and then it would wait for the rest of the body for
        # ever; and if that is what it has waited for, the fault is not ours.
        if http.request_body and http.exception is not None:
            http.exception = RequestTimeout()
        self._callback_check_timeouts = self.loop.call_later(_LINGER_SECONDS, self.close)

    def take(self, data: bytes) -> None:
        """Pass bytes that begin with a whole head to Sanic."""
        self.judged = True
        super().data_received(data)

    def begin_request(self) -> None:
        """Have the front judge what was sent behind the request before."""
        if self.recv_buffer and not self.judged:
            data = bytes(self.recv_buffer)
            self.recv_buffer.clear()
            self._front.resume(data, pipelined=True)

    def let_go(self) -> None:
        """Forget the socket, and end everything that would close it or time it out."""
        self.connections.discard(self)
        self.transport = None  # with no transport, Sanic's `close` does nothing
        timer: asyncio.TimerHandle | None = self._callback_check_timeouts
        if timer is not None:
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
