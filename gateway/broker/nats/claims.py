"""Claims over JetStream: keys that are good once."""

from __future__ import annotations

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
from gateway.broker.nats.streams import NO_JETSTREAM

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

    from gateway.broker.nats.client import NatsClient
    from gateway.config import NatsBrokerConfig

__all__ = ["NatsClaims"]


class NatsClaims:
    """A bucket of JetStream, made at the first claim, in which there may be only one entry of a name.

    Args:
        config: The settings.
        client: The connection.
    """

    def __init__(self, config: NatsBrokerConfig, client: NatsClient) -> None:
        self._config = config
        self._client = client
        self._bucket: KeyValue | None = None

    async def claim(self, key: str, seconds: float) -> bool:
        """Make an entry; the server ends it.

        Raises:
            BrokerUnavailableError: If there is no JetStream, or its server is too old.
        """
        try:
            if self._bucket is None:
                self._bucket = await self._find_bucket()
            await self._bucket.create(_entry(key), b"", msg_ttl=max(1, math.ceil(seconds)))
        except KeyWrongLastSequenceError:
            return False
        except (ServiceUnavailableError, NoStreamResponseError, errors.NoRespondersError):
            self._bucket = None
            raise BrokerUnavailableError(NO_JETSTREAM) from None
        return True

    async def release(self, key: str) -> None:
        """End a claim before its time."""
        if self._bucket is not None:
            await self._bucket.delete(_entry(key))

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


def _entry(key: str) -> str:
    # Any text may be a key, and not every text a name of NATS.
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
