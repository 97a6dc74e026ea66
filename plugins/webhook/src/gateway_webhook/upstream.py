"""The service that gets the events: one request, one answer, over a bounded number of connections."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from gateway_webhook.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway_webhook.options import WebhookOptions

__all__ = ["Response", "TransferError", "Upstream"]

# Servers that let go of an idle connection do so after 5 s or more; a request that crosses would be lost.
_KEEP_IDLE_SECONDS: Final = 4.0
_FAILURES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)
_RETRY_AFTER_DIGITS: Final = 6


class TransferError(Exception):
    """A request that got no answer; its text is for the log."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Args:
        status: Its status.
        body: Its body.
        retry_after: Seconds to wait, by its own word; 0 if it says nothing.
    """

    status: int
    body: bytes
    retry_after: int


class Upstream:
    """The client of one service.

    It rests on single connections of httpcore: the pool of an httpx client looks at each of its connections
    for each request, which costs four times the CPU where there are fifty. Neither cookies, redirects,
    proxies nor compressed bodies are understood here, and none of them is wanted.

    Args:
        options: Its address, and the bounds of asking it.

    Raises:
        OSError: If the file of authorities does not load.
    """

    def __init__(self, options: WebhookOptions) -> None:
        self._options = options
        self._url = httpcore.URL(options.url)
        self._fields = (
            (b"host", httpx.URL(options.url).netloc),
            (b"user-agent", b"gateway-webhook"),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json"),
            (b"accept-encoding", b"identity"),
        )
        self._tls: ssl.SSLContext | None = None
        if self._url.scheme == b"https":
            self._tls = (
                httpx.create_ssl_context(trust_env=False)
                if options.server_ca is None
                else ssl.create_default_context(cafile=options.server_ca)
            )
        # httpcore imports it at the first request, which would hold up the event loop for 0.1 s.
        import_module("anyio._backends._asyncio")
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self.room = asyncio.Semaphore(options.max_connections)
        """Is held around each `post`, so that there are no more connections than allowed."""

    async def close(self) -> None:
        """End all idle connections."""
        while self._idle:
            await self._idle.pop().aclose()

    async def post(self, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> Response:
        """Make a request.

        Args:
            fields: Of its header, besides those that each request has.
            body: What is sent.

        Raises:
            TransferError: If there is no answer, or none in time.
            AnswerError: If the answer is too long, or encoded.
        """
        seconds = self._options.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(fields, body, seconds)
        except TimeoutError:
            raise TransferError(f"no answer within {seconds:g} s") from None
        except _FAILURES as exc:
            raise TransferError(type(exc).__name__) from None

    async def _exchange(self, fields: Sequence[tuple[bytes, bytes]], body: bytes, seconds: float) -> Response:
        # TCP and TLS get less than half of the time each, since httpcore leaves a socket open whose TLS
        # handshake is cancelled from outside.
        limits = {"timeout": {"connect": 0.45 * seconds}}
        header = [*self._fields, *fields, (b"content-length", str(len(body)).encode())]
        async with self._connection() as connection:
            request = httpcore.Request("POST", self._url, headers=header, content=body, extensions=limits)
            response = await connection.handle_async_request(request)
            answer = b""
            try:
                async for part in response.aiter_stream():
                    answer += part
                    if len(answer) > self._options.max_answer_bytes:
                        break
            finally:
                await response.aclose()
        answered = {name.lower(): value for name, value in response.headers}
        if 200 <= response.status <= 299:  # noqa: PLR2004 - RFC 9110 section 15.3
            if len(answer) > self._options.max_answer_bytes:
                raise AnswerError(f"longer than {self._options.max_answer_bytes} bytes")
            if b"content-encoding" in answered:
                raise AnswerError("encoded")
        return Response(response.status, answer, _seconds(answered.get(b"retry-after", b"")))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        """Lend a connection: the one that was used last, or a new one."""
        connection = await self._take()
        try:
            yield connection
        finally:
            if connection.is_idle() and not connection.is_closed():
                self._idle.append(connection)
            else:
                await connection.aclose()

    async def _take(self) -> httpcore.AsyncHTTPConnection:
        # Those that were not used for long are on the left: one of them at each request keeps them few.
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(self._url.origin, self._tls, keepalive_expiry=_KEEP_IDLE_SECONDS)


def _seconds(value: bytes) -> int:
    """Read `Retry-After` (RFC 9110 section 10.2.3); a date says nothing here, since clocks differ."""
    value = value.strip()
    return int(value) if value.isdigit() and len(value) <= _RETRY_AFTER_DIGITS else 0
