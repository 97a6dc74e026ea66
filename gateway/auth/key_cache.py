"""The published keys of one issuer: fetched ahead of need, kept in an outage, asked for at a limited rate."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from gateway.auth.jwks import BadKeySetError, read_key_set

if TYPE_CHECKING:
    from gateway.auth.keys import Key
    from gateway.config.models import JwksConfig
    from gateway.core.node import Node
    from gateway.core.owned import Timer

__all__ = ["KeyCache"]

_EARLIEST: Final = 0.8


class KeyCache:
    """The keys that an issuer publishes. Each issuer has its own, so that a `kid` is one issuer's only.

    Keys once fetched are used until a later key set is without them; an outage of the issuer touches only
    tokens whose key is not known.

    Args:
        issuer: The issuer, for the log.
        config: Where the keys are published.
        algorithms: The algorithms that the issuer uses.
    """

    def __init__(self, issuer: str, config: JwksConfig, algorithms: tuple[str, ...]) -> None:
        self.keys: tuple[Key, ...] = ()
        self.reached = False
        """Whether the last try brought a key set, so that a key that is not known does not exist."""
        self._issuer = issuer
        self._config = config
        self._algorithms = algorithms
        # Once, since it takes some 20 ms to read the authorities.
        self._tls = (
            httpx.create_ssl_context(trust_env=False)
            if config.server_ca is None
            else ssl.create_default_context(cafile=config.server_ca)
        )
        self._node: Node | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._not_before = 0.0

    def start(self, node: Node) -> None:
        """Begin the first fetch, in the background: the gateway serves though an issuer is down."""
        self._node = node
        self._begin(node)

    async def stop(self) -> None:
        """End the fetch under way, and plan no other."""
        self._node = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def refresh(self) -> None:
        """Wait for a fetch, the one under way or a new one; return at once if the last was just now."""
        node = self._node
        if node is None:
            return
        if self._task is None:
            if node.loop.time() < self._not_before:
                return
            self._begin(node)
        if self._task is not None:
            # The fetch is everybody's: who waits for it and is cancelled leaves it to the others.
            await asyncio.wait((self._task,))

    def _begin(self, node: Node) -> None:
        if self._task is None:
            self._not_before = node.loop.time() + self._config.min_interval_seconds
            self._task = node.start_task(self._run(node), name="gateway jwks")

    async def _run(self, node: Node) -> None:
        config = self._config
        reason: str | None = None
        try:
            keys, left_out = await self.look()
        except BadKeySetError as exc:
            reason = str(exc)
        self._task = None
        self.reached = reason is None
        if reason is None:
            self.keys = tuple(keys)
            node.log.info(
                "jwks_fetched", logger="gateway.auth", issuer=self._issuer, keys=len(keys), left_out=left_out
            )
            # Somewhat earlier, and not the same for all, so that nodes do not ask all at once.
            delay = config.refresh_seconds * random.uniform(_EARLIEST, 1)  # noqa: S311 - no secret
        else:
            node.metrics.jwks_failures[self._issuer] += 1
            known = len(self.keys)
            node.log.warning(
                "jwks_failed", logger="gateway.auth", issuer=self._issuer, reason=reason, known_keys=known
            )
            delay = config.min_interval_seconds
        if self._timer is not None:
            self._timer.cancel()
        self._timer = node.after(delay, self._begin, node)

    async def look(self) -> tuple[list[Key], int]:
        """Fetch the keys once; give those that fit, and how many do not.

        Raises:
            BadKeySetError: If there is no answer in time, or one that is no key set.
        """
        seconds = self._config.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                document = await self._fetch()
            return read_key_set(document, self._algorithms)
        except (TimeoutError, httpx.TimeoutException):
            raise BadKeySetError(f"no answer within {seconds} seconds") from None
        except BadKeySetError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever an answer does to the libraries, the next try comes
            raise BadKeySetError(f"{type(exc).__name__}: {exc}"[:200]) from None

    async def _fetch(self) -> bytes:
        """Get the document, and no more than is allowed of it."""
        most = self._config.max_bytes
        # A client for each fetch: an hour later its connections would be dead. TCP and TLS get less than half
        # of the time each, since httpcore leaves a socket open whose TLS handshake is cancelled from outside.
        limits = httpx.Timeout(None, connect=0.45 * self._config.timeout_seconds)
        client = httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=limits)
        # Compressed, a few bytes could become any number of them before they are counted.
        fields = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with client, client.stream("GET", self._config.url, headers=fields) as response:
            if response.status_code != httpx.codes.OK:
                raise BadKeySetError(f"answer has status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadKeySetError("answer is compressed")
            document = bytearray()
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > most:
                    raise BadKeySetError(f"answer too big: limit {most} bytes")
            return bytes(document)
