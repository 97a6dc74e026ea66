"""The end of a connection to a broker, at once and with all that is still on its way out."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["cut"]

_AT_ONCE: Final = struct.pack("ii", 1, 0)


def cut(transport: asyncio.WriteTransport) -> None:
    """End a connection; what the system has still to send of it is thrown away.

    The system would go on sending it, and a broker that was stopped for a while would get it beside what comes
    through the next connection: publications out of their order.
    """
    if not transport.is_closing():
        found = transport.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
