"""One connection to a NATS server."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING, Any

from nats import errors
from nats.js.errors import (
    BucketNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)

from gateway.broker.contract import BrokerUnavailableError
from gateway.broker.nats.client import NatsClient
from gateway.broker.nats.credentials import connect_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.js.kv import KeyValue

    from gateway.broker.link import Receive
    from gateway.config import NatsBrokerConfig

__all__ = ["NatsLink"]


class NatsLink:
    """One connection to a NATS server.

    A server that finds this node too slow says so and ends the connection; none of its messages is left out
    before that, since they are handed over as they are read.

    Args:
        config: The settings.
        url: The server's.
        name: What the server's own lists call the connection.
        receive: Gets what arrives.
    """

    def __init__(self, config: NatsBrokerConfig, url: str, name: str, receive: Receive) -> None:
        self._config = config
        self._url = url
        self._name = name
        self._client = NatsClient(receive, secure=config.secure)
        self._bucket: KeyValue | None = None
        self.ended = self._client.ended
        self.most_bytes = config.max_message_bytes

    async def open(self) -> None:
        """Connect and log in. Certificates and credentials are read anew for each link."""
        options = await asyncio.to_thread(connect_options, self._config)
        await self._client.open(self._url, name=self._name, **options)
        self.most_bytes = self._client.max_payload

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Ask for subjects; the server takes it in the order of what is sent."""
        self._client.listen(channels)
        await self._client.drain_socket()

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Leave subjects."""
        self._client.unlisten(channels)
        await self._client.drain_socket()

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish messages."""
        await self._client.send(messages)

    async def claim(self, key: str, seconds: float) -> bool:
        """Make an entry in a bucket of JetStream, where there may be only one; the server ends it."""
        try:
            if self._bucket is None:
                self._bucket = await self._find_bucket()
            # Any text may be a key, and not every text a name of NATS.
            entry = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
            await self._bucket.create(entry, b"", msg_ttl=max(1, math.ceil(seconds)))
        except KeyWrongLastSequenceError:
            return False
        except (ServiceUnavailableError, NoStreamResponseError, errors.NoRespondersError):
            self._bucket = None
            raise BrokerUnavailableError("the nats server has no jetstream, or not now") from None
        return True

    async def _find_bucket(self) -> KeyValue:
        name = f"{self._config.prefix}_claims"
        jetstream = self._client.jetstream(timeout=self._config.probe_timeout_seconds)
        try:
            bucket = await jetstream.key_value(name)
        except (BucketNotFoundError, NotFoundError):
            about = "keys that are good once, as of tickets, on all nodes of the gateway"
            bucket = await jetstream.create_key_value(bucket=name, description=about)
        settings: Any = (await bucket.status()).stream_info.config
        if not settings.allow_msg_ttl:
            raise BrokerUnavailableError("the nats server ends no single entries: it is older than 2.11")
        return bucket

    async def close(self) -> None:
        """Wait until the server has everything, and end."""
        await self._client.drain_socket()
        await self._client.flush(math.ceil(self._config.probe_timeout_seconds))
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self._client.abort()
