"""How connections to brokers end: with all that is still on its way out."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["send_nothing_after_the_end"]

_AT_ONCE: Final = struct.pack("ii", 1, 0)


def send_nothing_after_the_end(transport: asyncio.WriteTransport) -> None:
    """Have the system throw away what it has not sent yet when a connection ends, whoever ends it.

    It would go on sending that, and a broker that was stopped for a while would get it beside what comes
    through the next connection: publications out of their order.
    """
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
