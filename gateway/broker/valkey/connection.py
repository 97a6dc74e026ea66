"""The seam to valkey-py: all that knows its insides is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from valkey.asyncio.connection import Connection
from valkey.exceptions import ValkeyError

from gateway.broker.cutting import send_nothing_after_the_end
from gateway.broker.link import LinkError

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Sequence

    from gateway.config import ValkeyBrokerConfig

__all__ = ["Address", "ValkeyConnection"]

_PORT: Final = 6379


class Address(NamedTuple):
    """Where a server is.

    Args:
        host: Its name or address.
        port: Its port.
    """

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Read it out of a URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or _PORT)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ValkeyConnection(Connection):
    """One connection, which is made once and never again by itself.

    Args:
        config: The settings.
        address: Where the server is.
        context: TLS; `None`: none.
    """

    def __init__(self, config: ValkeyBrokerConfig, address: Address, context: ssl.SSLContext | None) -> None:
        self._secret = config.password.get_secret_value()
        self._context = context
        self._transport: asyncio.WriteTransport | None = None
        super().__init__(
            host=address.host,
            port=address.port,
            username=config.user or None,
            password=self._secret or None,
            socket_timeout=None,  # the keeper's probes find out more
            lib_name=None,
            lib_version=None,
        )

    def _connection_arguments(self) -> dict[str, Any]:
        # Not valkey-py's `SSLConnection`, which reads the files on the event loop.
        arguments = dict(super()._connection_arguments())
        if self._context is not None:
            arguments["ssl"] = self._context
        return arguments

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            LinkError: If that fails.
        """
        try:
            await self.connect()  # type: ignore[no-untyped-call]
        except ValkeyError as exc:
            text = str(exc) or type(exc).__name__
            if self._secret and self._secret in text:
                # A server that does not know the command for it repeats what came with it.
                text = "the server does not take credentials"
            raise LinkError(text) from None
        assert self._writer is not None  # noqa: S101 - it is connected
        # valkey-py forgets it when it is disturbed while it writes.
        self._transport = self._writer.transport
        send_nothing_after_the_end(self._transport)

    async def write(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> None:
        """Write commands before this waits for the first time; then wait while the socket has enough.

        Raises:
            LinkError: If the connection has ended.
        """
        self._check_connected()  # valkey-py would connect again
        await self.send_packed_command(self.pack_commands(commands), check_health=False)
        self._check_connected()

    def _check_connected(self) -> None:
        if not self.is_connected:
            raise LinkError("the connection has ended")

    async def read(self) -> Any:
        """Wait for what the server says next; bytes are given as they are.

        Raises:
            ValkeyError: If it is an error, or the connection has ended.
        """
        return await self.read_response(disable_decoding=True)

    def abort(self) -> None:
        """End at once, without a wait for whatever is on its way."""
        writer, self._writer, self._reader = self._writer, None, None
        if self._transport is not None:
            self._transport.abort()
        elif writer is not None:
            writer.transport.abort()
