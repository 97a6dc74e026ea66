"""A tap on a route: it shows each message that passes, both ways. Only `gateway dev` puts one on."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from gateway.protocol.encoding import DEFLATED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.connection import Connection

__all__ = ["Show", "Tap"]

Show: TypeAlias = "Callable[[Connection, str, str | bytes], None]"

_TEXT: Final = 0x01
_MESSAGES: Final = frozenset({_TEXT, 0x02})
_OPCODE: Final = 0x0F
_END_OF_HEAD: Final = b"\r\n\r\n"
_END_OF_BLOCK: Final = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.2


class Tap:
    """A tap. A route without one has nothing of it on the way of a message.

    Args:
        show: Called with the connection, `open`, `in` or `out`, and the message; that of `open` is empty.
    """

    def __init__(self, show: Show) -> None:
        self._show = show

    def around(self, event: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a message event, so that each message from a client is shown."""
        show = self._show

        def call(connection: Connection, message: str | bytes) -> Any:
            show(connection, "in", message)
            return event(connection, message)

        return call

    def begin(self, connection: Connection) -> None:
        """Show a connection, before its open event, and from now on what is written to it."""
        self._show(connection, "open", "")
        outlet = _Outlet(connection, connection._transport, self._show)  # noqa: SLF001 - made for it
        connection._transport = cast("asyncio.Transport", outlet)  # noqa: SLF001


class _Outlet:
    """A connection's transport that shows the messages of what is written.

    Publications are written as frames that members of a group share, so the frames are where all meets.
    """

    def __init__(self, connection: Connection, transport: asyncio.Transport, show: Show) -> None:
        self._connection = connection
        self._transport = transport
        self._show = show
        self._rest = b""
        self._in_head = True  # of the answer to the opening handshake
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, and show what is whole by now."""
        self._transport.write(data)
        self._rest += data
        if self._in_head:
            if _END_OF_HEAD not in self._rest:
                return
            self._rest = self._rest.partition(_END_OF_HEAD)[2]
            self._in_head = False
        while (ends := _ends(self._rest)) is not None:
            begin, end = ends
            first, payload = self._rest[0], self._rest[begin:end]
            self._rest = self._rest[end:]
            if first & _OPCODE in _MESSAGES:
                if first & DEFLATED:
                    payload = self._inflater.decompress(payload + _END_OF_BLOCK)
                self._show(self._connection, "out", payload.decode() if first & _OPCODE == _TEXT else payload)


def _ends(data: bytes) -> tuple[int, int] | None:
    """Give where the payload of the first frame begins and ends; `None` while it is not whole."""
    begin = 2
    if len(data) < begin:
        return None
    length = data[1]
    for short, form in ((126, "!H"), (127, "!Q")):
        if length == short:
            begin += struct.calcsize(form)
            if len(data) < begin:
                return None
            length = struct.unpack_from(form, data, 2)[0]
            break
    return (begin, begin + length) if len(data) >= begin + length else None
