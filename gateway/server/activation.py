"""Listening sockets that systemd holds and passes on (LISTEN_FDS), so that they outlive the gateway."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.server.sockets import ListeningSockets

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from gateway.config.models import ListenConfig

__all__ = ["ActivationError", "activated"]

_FIRST: Final = 3
_NAMES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class ActivationError(GatewayError):
    """A socket from systemd that is not what gateway.yaml says.

    Args:
        fact: What does not fit.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"cannot listen on the socket from systemd: {fact}")
        self.fact = fact


def activated(
    listen: ListenConfig, environ: MutableMapping[str, str] = os.environ, first: int = _FIRST
) -> ListeningSockets | None:
    """Take over the sockets that systemd has passed to this process; `None` if there are none.

    The port, or the path, has to be that of the settings. The host is systemd's to say.

    Args:
        listen: The settings.
        environ: Where systemd says how many there are. It is taken out there, since it is for this process
            alone.
        first: The descriptor of the first.

    Raises:
        ActivationError: If one of them does not fit.
    """
    count, pid, _ = (environ.pop(name, "") for name in _NAMES)
    if pid != str(os.getpid()) or not count.isdecimal() or not int(count):
        return None
    found: list[socket.socket] = []
    try:
        for index in range(int(count)):
            found.append(_take(first + index))
            _check(found[-1], listen)
    except BaseException:
        for one in found:
            one.close()
        raise
    return ListeningSockets(found, held=True)


def _take(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as exc:
        raise ActivationError(f"descriptor {descriptor}: {(exc.strerror or str(exc)).lower()}") from None
    found.setblocking(False)
    return found


def _check(found: socket.socket, listen: ListenConfig) -> None:
    where = _shown(found)
    if found.type != socket.SOCK_STREAM or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ActivationError(f"{where} is none that listens; it needs ListenStream and Accept=no")
    if found.family == socket.AF_UNIX:
        if listen.unix is None or Path(found.getsockname()) != listen.unix.absolute():
            wanted = f"port {listen.port}" if listen.unix is None else f"unix:{listen.unix}"
            raise ActivationError(f"it is {where}, and listen says {wanted}")
    elif listen.unix is not None:
        raise ActivationError(f"it is {where}, and listen says unix:{listen.unix}")
    elif listen.port not in {0, found.getsockname()[1]}:
        raise ActivationError(f"it is {where}, and listen says port {listen.port}")


def _shown(found: socket.socket) -> str:
    address = found.getsockname()
    if not isinstance(address, tuple):
        return f"unix:{address}" if isinstance(address, str) else "a socket without a path"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
