"""Beginning TLS on a TCP connection that has been accepted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

__all__ = ["begin_tls"]

_SHUTDOWN_SECONDS: Final = 1.0
# The loop's own limit on the handshake never counts: the caller's deadline ends TCP before.
_NEVER_SECONDS: Final = 7 * 86_400.0
_DEAF: Final = asyncio.Protocol()


def begin_tls(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    tls: ssl.SSLContext,
    done: Callable[[asyncio.Transport | None], None],
) -> None:
    """Speak TLS on a transport, as its server; call it where the transport is handed out.

    Args:
        transport: TCP. Until the end it is still the way to end the connection.
        protocol: Which gets what the peer sends over TLS. Its first bytes may come before `done`.
        tls: What is spoken.
        done: Called at the handshake's end with the transport to write to; with `None` if it failed.
    """
    # uvloop's TCP transport keeps the last `data_received` that it was given, and TLS's protocol gives it
    # none: it would keep the protocol before as long as the connection.
    transport.set_protocol(_DEAF)
    handshake = asyncio.get_running_loop().start_tls(
        transport,
        protocol,
        tls,
        server_side=True,
        ssl_handshake_timeout=_NEVER_SECONDS,
        ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    # The first step puts TLS in the place of the protocol. It is made by hand, since the loop would read
    # from the socket before it came to a task.
    end: asyncio.Future[Any] = handshake.send(None)
    end._asyncio_future_blocking = False  # noqa: SLF001 - as a task does with what it is to wait for
    end.add_done_callback(lambda _: done(_result(handshake)))


def _result(handshake: Coroutine[Any, Any, asyncio.Transport | None]) -> asyncio.Transport | None:
    try:
        handshake.send(None)
    except StopIteration as stop:
        transport: asyncio.Transport | None = stop.value
        return None if transport is None or transport.is_closing() else transport
    except OSError as failure:  # the peer is gone, or speaks nothing that is good here
        # Future, exception, frame and coroutine would keep each other until the next collection, and TLS's
        # 56 KB with them.
        failure.__traceback__ = None
    return None
