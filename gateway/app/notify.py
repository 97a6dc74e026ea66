"""What systemd is told: that the gateway serves, reloads, stops, and that it lives (sd_notify)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["Notifier"]

_NAMES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LONGEST_STATUS: Final = 500


class Notifier:
    """The datagram socket of a service manager. Without one it does nothing.

    The protocol is a few lines, and systemd promises to keep it; what packages there are bind its C library,
    or have had no release for years.

    Args:
        environ: Where systemd says what it wants. It is taken out there, since it is for this process alone.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address, microseconds, pid = (environ.pop(name, "") for name in _NAMES)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self.watchdog_seconds: float | None = None
        """Within which it has to be told that the gateway lives, again and again; `None`: never."""
        mine = pid in {"", str(os.getpid())}
        if self._socket is not None and mine and microseconds.isdecimal() and int(microseconds):
            self.watchdog_seconds = int(microseconds) / 1_000_000

    def ready(self, status: str) -> None:
        """Tell that the gateway serves: after the start, and after each reload."""
        self._tell("READY=1", _status(status))

    def reloading(self) -> None:
        """Tell that a reload begins; `ready` ends it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}", _status("reloading"))

    def stopping(self) -> None:
        """Tell that the gateway begins to end."""
        self._tell("STOPPING=1", _status("draining"))

    def alive(self) -> None:
        """Tell that the gateway lives."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            # Nobody who serves waits for a service manager.
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:_LONGEST_STATUS]}"
