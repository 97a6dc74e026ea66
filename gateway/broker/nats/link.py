"""One connection to a NATS server."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from gateway.broker.nats.claims import NatsClaims
from gateway.broker.nats.client import NatsClient
from gateway.broker.nats.credentials import connect_options
from gateway.broker.nats.history import NatsHistory
from gateway.broker.nats.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Answered, Found, Keep, Receive
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
        places: Reads where JetStream has put messages; one for all links of a node. The default, `None`, is
            one of its own.
    """

    def __init__(
        self,
        config: NatsBrokerConfig,
        url: str,
        name: str,
        receive: Receive,
        places: Places | None = None,
    ) -> None:
        places = places or Places()
        self._config = config
        self._url = url
        self._name = name
        self._client = NatsClient(receive, places, secure=config.secure)
        self._claims = NatsClaims(config, self._client)
        self._history = NatsHistory(config, self._client, self._claims, places)
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

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Have JetStream keep messages, and publish them on their channels."""
        await self._history.keep(messages, answered)

    async def history(
        self,
        group: str,  # noqa: ARG002 - its channel says it all
        channel: str,
        policy: HistoryPolicy,
        since: int | None,
        limit: int,
    ) -> Found:
        """Read a stream of JetStream. The server works through subscriptions first, as they come first."""
        return await self._history.read(channel, policy, since, limit)

    async def claim(self, key: str, seconds: float) -> bool:
        """Make an entry in a bucket of JetStream."""
        return await self._claims.claim(key, seconds)

    async def close(self) -> None:
        """Wait until the server has everything, and end."""
        await self._client.drain_socket()
        await self._client.flush(math.ceil(self._config.probe_timeout_seconds))
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self._client.abort()
