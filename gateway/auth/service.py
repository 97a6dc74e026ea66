"""The HTTP service that the way `forward` asks: one question, one answer, within its bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from gateway.auth.answer import read_answer
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.config.models import ForwardWayConfig
    from gateway.core.identity import Identity

__all__ = ["AuthService"]

# Servers that let go of an idle connection do so after 5 s or more; a question that crosses would be lost.
_KEEP_IDLE_SECONDS: Final = 4.0
_REFUSED: Final = {401: "unauthorized", 403: "forbidden"}
_FAILURES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class AuthService:
    """The client of one service.

    It rests on single connections of httpcore. A question costs 0.4 ms of CPU so, and 1.8 ms through the
    pool of an httpx client with 50 connections, which looks at each of them for each question. Neither
    cookies, redirects, proxies nor compressed bodies are understood here, and none of them is wanted.

    Args:
        config: Its address and the bounds of asking it.

    Raises:
        OSError: If the file of authorities does not load.
    """

    def __init__(self, config: ForwardWayConfig) -> None:
        self._config = config
        self._url = httpcore.URL(config.url)
        self._host = (b"host", httpx.URL(config.url).netloc)
        self._tls = (
            httpx.create_ssl_context(trust_env=False)
            if config.server_ca is None
            else ssl.create_default_context(cafile=config.server_ca)
        )
        # httpcore imports it at the first request, which would hold up the event loop for 0.1 s.
        import_module("anyio._backends._asyncio")
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self._room = asyncio.Semaphore(config.max_connections)
        self._under_way = 0

    async def close(self) -> None:
        """End all TCP connections; no question is under way any more."""
        while self._idle:
            await self._idle.pop().aclose()

    async def ask(self, fields: Sequence[tuple[bytes, bytes]]) -> Identity:
        """Ask who it is.

        Args:
            fields: The header of the question, without Host.

        Raises:
            Refused: `unauthorized` or `forbidden`, if the service says so; `auth_unavailable`, if it says
                nothing that is an answer, or nothing in time.
        """
        config = self._config
        if self._under_way >= config.max_connections + config.max_waiting:
            detail = f"{self._under_way} questions wait for the service"
            raise refuse("auth_unavailable", detail, limit="max_waiting")
        self._under_way += 1
        try:
            async with asyncio.timeout(config.timeout_seconds) as deadline, self._room:
                left = (deadline.when() or 0.0) - asyncio.get_running_loop().time()
                status, body = await self._exchange(fields, left)
        except TimeoutError:
            detail = f"no answer of the service within {config.timeout_seconds} s"
            raise refuse("auth_unavailable", detail) from None
        except _FAILURES as exc:
            raise refuse("auth_unavailable", f"service: {type(exc).__name__}") from None
        finally:
            self._under_way -= 1
        if status in _REFUSED:
            raise refuse(_REFUSED[status], f"the service answered {status}")
        if not 200 <= status <= 299:  # noqa: PLR2004 - RFC 9110 section 15.3
            raise refuse("auth_unavailable", f"the service answered {status}")
        if body is None:
            raise refuse("auth_unavailable", "the service's answer is too long, or encoded")
        return read_answer(body)

    async def _exchange(
        self, fields: Sequence[tuple[bytes, bytes]], seconds: float
    ) -> tuple[int, bytes | None]:
        """Give an answer's status and body; no body if it is not one to read."""
        # TCP and TLS get less than half of the time each, since httpcore leaves a socket open whose TLS
        # handshake is cancelled from outside.
        limits = {"timeout": {"connect": 0.45 * seconds}}
        async with self._connection() as connection:
            request = httpcore.Request("GET", self._url, headers=[self._host, *fields], extensions=limits)
            response = await connection.handle_async_request(request)
            try:
                body = b""
                async for part in response.aiter_stream():
                    body += part
                    if len(body) > self._config.max_bytes:
                        return response.status, None
            finally:
                await response.aclose()
        encoded = any(name.lower() == b"content-encoding" for name, _ in response.headers)
        return response.status, None if encoded else body

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
        # Those that were not used for long are on the left: one of them at each question keeps them few.
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(self._url.origin, self._tls, keepalive_expiry=_KEEP_IDLE_SECONDS)
