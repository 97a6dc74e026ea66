"""A client for tests: it waits for what it expects, and says what came instead."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from types import TracebackType

__all__ = ["Client", "Closed", "NotHeardError", "short"]

_PATIENCE_SECONDS: Final = 5.0
_SHOWN: Final = 100
_TURNS: Final = 3


class NotHeardError(AssertionError):
    """Something that a client expected and that did not come.

    Args:
        expected: What was expected.
        instead: What was there instead.
    """

    def __init__(self, expected: str, instead: str) -> None:
        super().__init__(f"expected {expected}, but {instead}")
        self.expected = expected
        self.instead = instead


class Closed(NamedTuple):
    """The end of a connection.

    Args:
        code: The close code that the gateway sent; 1006 if the connection ended without one.
        reason: The close reason.
    """

    code: int
    reason: str


class Client:
    """A client of a gateway, over the library `websockets`.

    It is awaited to connect, or entered with `async with`, which also ends it.

    Args:
        url: Where to connect.
        token: Sent as `Authorization: Bearer <token>`; `None` for none.
        headers: More fields of the request.
        options: Those of the `connect` of `websockets`.

    Raises:
        websockets.exceptions.InvalidStatus: When it is awaited, if the gateway refuses; its `response` has
            status, headers and body.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        # What the gateway sends and the test does not receive is kept, however much it is: whether the client
        # reads is for the test to say.
        settings: dict[str, Any] = {"proxy": None, "max_queue": None, "max_size": None, "ping_interval": None}
        self._connecting = connect(url, additional_headers=fields, **(settings | options))
        self._socket: ClientConnection | None = None
        self.url = url
        self.received: list[str | bytes] = []
        """Every message that was received, in order."""

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        self._socket = await self._connecting
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def socket(self) -> ClientConnection:
        """The connection of the library `websockets`."""
        if self._socket is None:
            raise RuntimeError("the client is not connected: await it, or enter it with `async with`")
        return self._socket

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the gateway chose; `None` for none."""
        return self.socket.subprotocol

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of the gateway's answer to the opening handshake."""
        assert self.socket.response is not None  # noqa: S101 - it is connected
        return self.socket.response.headers

    async def send(self, message: str | bytes | Sequence[str] | Sequence[bytes]) -> None:
        """Send a message: `str` as text, `bytes` as binary, a sequence of either as fragments of one."""
        await self.socket.send(message)

    async def send_json(self, value: object) -> None:
        """Send a value as JSON text."""
        await self.socket.send(json.dumps(value, ensure_ascii=False))

    def send_raw(self, data: bytes) -> None:
        """Write bytes to the TCP connection as they are, such as a frame that breaks the protocol."""
        self.socket.transport.write(data)

    async def receive(self, *, within_seconds: float = _PATIENCE_SECONDS) -> str | bytes:
        """Give the next message; wait for it if there is none.

        Raises:
            NotHeardError: If none comes in time, or the connection ends before.
        """
        try:
            async with asyncio.timeout(within_seconds):
                message = await self.socket.recv()
        except TimeoutError:
            raise NotHeardError("a message", f"none came within {within_seconds:g} seconds") from None
        except ConnectionClosed:
            raise NotHeardError("a message", f"the connection ended: {self._closed()}") from None
        self.received.append(message)
        return message

    async def receive_json(self, *, within_seconds: float = _PATIENCE_SECONDS) -> Any:
        """Give the next message as JSON says it; otherwise as `receive`.

        Raises:
            NotHeardError: Also if the message is no JSON.
        """
        message = await self.receive(within_seconds=within_seconds)
        try:
            return json.loads(message)
        except ValueError:
            raise NotHeardError("JSON", f"received {short(message)}") from None

    async def ask(self, message: str | bytes, *, within_seconds: float = _PATIENCE_SECONDS) -> str | bytes:
        """Send a message and give the next one."""
        await self.send(message)
        return await self.receive(within_seconds=within_seconds)

    async def ask_json(self, value: object, *, within_seconds: float = _PATIENCE_SECONDS) -> Any:
        """Send a value as JSON text, and give what the next message says."""
        await self.send_json(value)
        return await self.receive_json(within_seconds=within_seconds)

    async def expect_nothing(self, *, within_seconds: float = _PATIENCE_SECONDS) -> None:
        """See that nothing has been sent to this client that it has not received.

        A ping goes there and back, before whose pong everything arrives that was sent before. What a handler
        sends after it has waited for something may come later still.

        Raises:
            NotHeardError: If there is a message, or the connection has ended.
        """
        await self.arrive(within_seconds=within_seconds)
        receiving = asyncio.ensure_future(self.socket.recv())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if not receiving.done():
            receiving.cancel()
            await asyncio.wait({receiving})
        if receiving.cancelled():
            return
        try:
            message = receiving.result()
        except ConnectionClosed:
            raise NotHeardError("no message", f"the connection ended: {self._closed()}") from None
        self.received.append(message)
        raise NotHeardError("no message", f"received {short(message)}")

    async def arrive(self, *, within_seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until the gateway has read everything that was sent: a ping goes there and back.

        Raises:
            NotHeardError: If no pong comes in time, or the connection ends before.
        """
        try:
            async with asyncio.timeout(within_seconds):
                await (await self.socket.ping())
        except TimeoutError:
            raise NotHeardError("a pong", f"none came within {within_seconds:g} seconds") from None
        except ConnectionClosed:
            raise NotHeardError("a pong", f"the connection ended: {self._closed()}") from None

    async def expect_close(
        self,
        code: int | None = None,
        reason: str | None = None,
        *,
        within_seconds: float = _PATIENCE_SECONDS,
    ) -> Closed:
        """Wait for the end of the connection; messages that come before it are received.

        Args:
            code: The close code that is expected; `None` for any.
            reason: The close reason that is expected; `None` for any.
            within_seconds: How long it may take.

        Raises:
            NotHeardError: If the connection does not end in time, or with another code or reason.
        """
        expected = "a close" if code is None else f"a close with {code}"
        if reason is not None:
            expected += f" and the reason {reason!r}"
        try:
            async with asyncio.timeout(within_seconds):
                while True:
                    self.received.append(await self.socket.recv())
        except TimeoutError:
            instead = f"the connection is open after {within_seconds:g} seconds"
            raise NotHeardError(expected, instead) from None
        except ConnectionClosed:
            closed = self._closed()
        if code not in {None, closed.code} or reason not in {None, closed.reason}:
            raise NotHeardError(expected, f"the connection ended: {closed}")
        return closed

    def _closed(self) -> Closed:
        received = self.socket.protocol.close_rcvd
        return Closed(1006, "") if received is None else Closed(received.code, received.reason)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait for its end; nothing happens if it has ended, or never began."""
        if self._socket is not None:
            self.read_on()
            await self._socket.close(code, reason)

    # Faults.

    def drop(self) -> None:
        """End the TCP connection at once, without a closing handshake: a client that lost its network."""
        self.socket.transport.abort()

    def stop_reading(self) -> None:
        """Read nothing more, until `read_on`: a slow reader, whose messages pile up at the gateway."""
        self.socket.transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if not self.socket.transport.is_closing():
            self.socket.transport.resume_reading()


def short(message: str | bytes) -> str:
    """Give a message for a report, cut off where it is long."""
    shown = repr(message)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(message)} in all)"
