"""The way `forward`: an HTTP service is asked who it is that opens a connection."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.auth.recent import Recent
from gateway.auth.service import AuthService
from gateway.config.models import ForwardWayConfig
from gateway.core.identity import Identity
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.node import Node
    from gateway.core.opening import Opening

__all__ = ["ForwardAuthenticator"]

# RFC 3986 section 3.3, `pchar`: what a path may hold as it is.
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~"


class ForwardAuthenticator(Authenticator[ForwardWayConfig]):
    """The way `forward`.

    An identity is kept for a moment, so that a page with many connections costs one question; equal questions
    under way are one. A refusal is not kept: who has logged in by now does not wait.
    """

    def __init__(self, options: ForwardWayConfig) -> None:
        super().__init__(options)
        self._recent: Recent[Identity] = Recent(options.cache_seconds, options.max_cached)
        self._asking: dict[bytes, asyncio.Task[Identity | Refused]] = {}
        self._service: AuthService | None = None

    def on_start(self, node: Node) -> None:
        """Make the client.

        Raises:
            OSError: If the file of authorities does not load.
        """
        del node
        self._service = AuthService(self.options)

    async def on_stop(self) -> None:
        """End the questions under way, and the TCP connections."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._service is not None:
            await self._service.close()

    async def authenticate(self, opening: Opening) -> Identity | None:
        """Ask the service; `None` if the request has none of the headers that hold credentials.

        Raises:
            Refused: `unauthorized` or `forbidden`, if the service says so; `unauthorized`, if there are two
                bearer credentials; `auth_unavailable`, if the service gives no answer.
        """
        credentials = tuple(self._credentials(opening))
        if not credentials:
            return None
        fields = (*credentials, *self._context(opening))
        key = _digest(fields)
        identity = self._recent.get(key)
        if identity is None:
            task = self._asking.get(key)
            if task is None:
                task = self._asking[key] = asyncio.create_task(self._ask(fields), name="gateway forward")
                task.add_done_callback(lambda done: self._answered(key, done))
            # The question goes on when one of those who wait for it leaves.
            outcome = await asyncio.shield(task)
            if isinstance(outcome, Refused):
                raise Refused(outcome.refusal, outcome.detail, outcome.limit)
            identity = outcome
        if identity.expires_at is not None and identity.expires_at <= time.time():
            raise refuse("unauthorized", "the service's identity has ended")
        return identity

    async def _ask(self, fields: Sequence[tuple[bytes, bytes]]) -> Identity | Refused:
        assert self._service is not None  # noqa: S101 - the way has started
        try:
            return await self._service.ask(fields)
        except Refused as refused:
            return refused

    def _answered(self, key: bytes, task: asyncio.Task[Identity | Refused]) -> None:
        del self._asking[key]
        if not task.cancelled() and task.exception() is None:
            outcome = task.result()
            if isinstance(outcome, Identity):
                self._recent.put(key, outcome)

    def _credentials(self, opening: Opening) -> Iterator[tuple[bytes, bytes]]:
        """Give the headers that hold credentials."""
        found = opening.credential
        for name in self.options.headers:
            values = opening.request.get_all(name)
            if name == "authorization" and found is not None and found.source != "header":
                # A browser can set no header: its credential goes on as if it had.
                if values:
                    raise refuse("unauthorized", "more than one credential")
                values = [f"Bearer {found.value}"]
            yield from ((name.encode(), _as_sent(value)) for value in values)

    def _context(self, opening: Opening) -> Iterator[tuple[bytes, bytes]]:
        """Give the headers that say what the credentials are for, none of them from the client's own copy."""
        request = opening.request
        for name in self.options.extra_headers:
            yield from ((name.encode(), _as_sent(value)) for value in request.get_all(name))
        target = quote(request.path, safe=_PATH_CHARACTERS)
        if self.options.forward_query and request.query:
            target += f"?{request.query}"
        own = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "x-forwarded-for": opening.remote,
            "x-forwarded-host": request.headers.get("host", ""),
            "x-original-method": "GET",
            "x-original-uri": target,
            "x-gateway-route": quote(opening.route, safe=_PATH_CHARACTERS),
        }
        yield from ((name.encode(), _as_sent(value)) for name, value in own.items())


def _as_sent(value: str) -> bytes:
    # The head of a request is read as latin-1: whatever bytes came go on as they were.
    return value.encode("latin-1")


def _digest(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Give the key of a question: all that the answer may hang on, and nothing that shows a credential."""
    digest = hashlib.sha256()
    for part in (part for field in fields for part in field):
        digest.update(len(part).to_bytes(4))
        digest.update(part)
    return digest.digest()
