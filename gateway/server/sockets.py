"""Listening sockets: one for each worker where the system spreads clients over them, else one for all."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.models import GatewayConfig, ListenConfig

__all__ = ["ListeningSockets", "bind", "listen_on", "listen_on_admin"]

_SPREADS = sys.platform == "linux"  # elsewhere SO_REUSEPORT gives all clients to one of the sockets


class ListeningSockets:
    """The sockets on which a gateway listens, from the start of the first worker to the end of the last.

    Args:
        sockets: Bound and listening. Those of one TCP port, or the only one.
        path: The file of a unix-domain socket that is removed in the end; `None` for none.
        held: Whether somebody else holds them too, and will start the next gateway on them. Default: no.
    """

    def __init__(self, sockets: list[socket.socket], path: Path | None = None, *, held: bool = False) -> None:
        self._sockets = sockets
        self._path = path
        self._file = None if path is None else _identity(path)
        self.held = held
        """Whether they outlive this gateway."""
        self.admin: ListeningSockets | None = None
        """Those of the operators' listener, which are closed and removed with these; `None` without one."""

    @property
    def port(self) -> int:
        """The TCP port; 0 for a unix-domain socket."""
        address = self._sockets[0].getsockname()
        return int(address[1]) if isinstance(address, tuple) else 0

    def of(self, slot: int) -> socket.socket:
        """Give the socket of a worker slot; the first is 0."""
        return self._sockets[slot % len(self._sockets)]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Their descriptors, by slot."""
        return tuple(bound.fileno() for bound in self._sockets)

    def close(self) -> None:
        """Close them in this process; where another has them too, they go on listening."""
        for bound in self._sockets:
            bound.close()
        if self.admin is not None:
            self.admin.close()

    def remove(self) -> None:
        """Remove the file of a unix-domain socket, unless another program has put its own there."""
        if self._path is not None:
            with suppress(OSError):
                if _identity(self._path) == self._file:
                    self._path.unlink()


def listen_on_admin(config: GatewayConfig, slots: int = 1) -> ListeningSockets | None:
    """Bind and listen for operators where `admin` says; `None` if it names no port.

    Args:
        config: The whole configuration.
        slots: For how many workers.

    Raises:
        OSError: If the address cannot be had.
    """
    return None if config.admin.port is None else listen_on(config.admin.listen(config.listen), slots)


def listen_on(listen: ListenConfig, slots: int = 1) -> ListeningSockets:
    """Bind and listen where the settings say.

    Args:
        listen: The settings.
        slots: For how many workers.

    Raises:
        OSError: If the address cannot be had.
    """
    if listen.unix is not None:
        # Workers that accept from one such socket share clients evenly: 205 to 195 of 400 that came at once.
        bound = _bind_unix(listen.unix, int(listen.unix_mode, 8), listen.backlog)
        return ListeningSockets([bound], listen.unix)
    several = slots > 1 and _SPREADS
    first = bind(listen.host, listen.port, listen.backlog, several=several)
    sockets = [first]
    try:
        if several:
            sockets += [_bind_beside(first, listen.backlog) for _ in range(slots - 1)]
    except BaseException:
        ListeningSockets(sockets).close()
        raise
    return ListeningSockets(sockets)


def bind(host: str, port: int, backlog: int, *, several: bool = False) -> socket.socket:
    """Bind and listen on a TCP port; 0 takes a free one.

    Args:
        host: Address or host name.
        port: The port.
        backlog: Number of TCP connections that the system queues.
        several: Whether other sockets may be bound to it later. Default: no.

    Raises:
        OSError: If the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        if several:
            # After the binding: so it fails where another gateway listens, which would else share its
            # clients with this one, and others of this process can still be bound beside it.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_beside(first: socket.socket, backlog: int) -> socket.socket:
    bound = socket.socket(first.family, first.type, first.proto)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(first.getsockname())
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_unix(path: Path, mode: int, backlog: int) -> socket.socket:
    """Bind and listen on a unix-domain socket; a file that a dead program has left is replaced."""
    bound = socket.socket(socket.AF_UNIX)
    # The file is made with its mode: set afterwards, it would be open to everybody for a moment.
    former = os.umask(0o777 & ~mode)
    try:
        try:
            bound.bind(os.fspath(path))
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            bound.bind(os.fspath(path))
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    finally:
        os.umask(former)
    bound.setblocking(False)
    return bound


def _identity(path: Path) -> tuple[int, int, int]:
    """Give what tells a file from another of its name; the number alone is soon given to the next."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _remove_stale(path: Path) -> None:
    """Remove the file of a socket on which nobody listens.

    Raises:
        OSError: If somebody does, or if the file is none of a socket.
    """
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, "a file that is no socket is there")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its queue is full
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
