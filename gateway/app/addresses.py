"""Whether the address of `listen` can be had, for `gateway check`."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.config import Severity
from gateway.config.remains import Remains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path as FilePath

    from gateway.config import ListenConfig, Loaded, Problem
    from gateway.config.models.admin import AdminConfig

__all__ = ["check_address"]

_PATIENCE_SECONDS: Final = 1.5
# The wildcard addresses are for listening; one cannot connect to them everywhere.
_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def check_address(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Find out whether the gateway could listen where the settings say.

    Args:
        loaded: The configuration.
        environ: The environment; with `LISTEN_FDS` the sockets of `listen` come from systemd, and are not
            looked at.
    """
    config = loaded.config
    looks: list[Callable[[], Iterable[Problem]]] = []
    if "LISTEN_FDS" not in environ and _is_whole(loaded, "listen", "unix"):
        if config.listen.unix is not None:
            looks.append(partial(_check_unix, loaded, config.listen.unix))
        else:
            looks.append(partial(_check_tcp, loaded, "listen", config.listen))
    if config.admin.port is not None and _is_whole(loaded, "admin"):
        looks.append(partial(_check_tcp, loaded, "admin", config.admin.listen(config.listen)))
    if len(looks) > 1 and config.listen.unix is None and _overlap(config.listen, config.admin):
        yield loaded.problem(("admin", "port"), f"port is that of listen: {config.admin.port}")
        looks.pop()
    # Side by side: whoever has taken a port may take long to answer.
    with ThreadPoolExecutor(max(len(looks), 1)) as pool:
        for problems in pool.map(lambda look: list(look()), looks):
            yield from problems


def _overlap(main: ListenConfig, admin: AdminConfig) -> bool:
    """Tell whether two hosts with one port come to one address, by a name or as one of all."""
    if admin.port != main.port or not main.port or main.host == admin.host:
        return False  # two that are the same are told where the file is read
    try:
        one, other = (ip_address(_bound_to(host, main.port)) for host in (main.host, admin.host))
    except (OSError, ValueError):
        return False  # which is told of each
    # The one that stands for all addresses of IPv6 takes those of IPv4 as well, and not the reverse.
    all_of_one = one.is_unspecified and one.version >= other.version
    all_of_other = other.is_unspecified and other.version >= one.version
    return one == other or all_of_one or all_of_other


def _bound_to(host: str, port: int) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return str(found[4][0])


def _is_whole(loaded: Loaded, section: str, *more: str) -> bool:
    keys = ("host", "port", *more)
    return not (isinstance(loaded, Remains) and loaded.lacks(*((section, key) for key in keys)))


def _check_tcp(loaded: Loaded, section: str, listen: ListenConfig) -> Iterator[Problem]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)  # without listening, so that no client is let down
    except (OSError, UnicodeError) as exc:
        yield _address_problem(loaded, section, listen, exc)


def _address_problem(
    loaded: Loaded, section: str, listen: ListenConfig, exc: OSError | UnicodeError
) -> Problem:
    place = (section, "port")
    number = exc.errno if isinstance(exc, OSError) else None
    if number == errno.EADDRINUSE:
        if _is_gateway(listen):
            text = f"port {listen.port} is taken by a gateway that runs, as before its restart"
            return loaded.problem(place, text, severity=Severity.WARNING)
        return loaded.problem(
            place,
            f"port taken by another program: {listen.port}",
            advice=f"`ss -ltnp 'sport = :{listen.port}'` says by which",
        )
    if number in {errno.EACCES, errno.EPERM}:
        text = f"port {listen.port} is not for this user; whoever runs the gateway needs CAP_NET_BIND_SERVICE"
        return loaded.problem(place, text, severity=Severity.WARNING)
    place = (section, "host")
    reason = "not the name of a host" if not isinstance(exc, OSError) else (exc.strerror or str(exc)).lower()
    return loaded.problem(place, f"address cannot be had: {loaded.show(place, listen.host)}, {reason}")


def _check_unix(loaded: Loaded, path: FilePath) -> Iterator[Problem]:
    place = ("listen", "unix")
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            yield loaded.problem(place, "a file that is no socket is there")
            return
    except FileNotFoundError:
        if not path.parent.is_dir():
            yield loaded.problem(place, "folder of the socket not found")
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            text = "socket cannot be made in its folder by this user"
            yield loaded.problem(place, text, severity=Severity.WARNING)
        return
    except OSError as exc:
        yield loaded.problem(place, f"socket cannot be looked at: {(exc.strerror or str(exc)).lower()}")
        return
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_PATIENCE_SECONDS)
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            return  # a dead program has left it, and it will be replaced
        except OSError as exc:
            yield loaded.problem(place, f"socket cannot be reached: {(exc.strerror or str(exc)).lower()}")
            return
        try:
            found = _says_ok(client, "localhost")
        except TimeoutError:
            found = False
        if found:
            text = "socket is taken by a gateway that runs, as before its restart"
            yield loaded.problem(place, text, severity=Severity.WARNING)
        else:
            yield loaded.problem(place, "socket taken by another program")


def _is_gateway(listen: ListenConfig) -> bool:
    """Tell whether a gateway listens there already, with TLS or without."""
    host = _REACHED_AT.get(listen.host, listen.host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent that anybody may not see, and its certificate may be the one that is to be replaced.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for secure in (listen.tls is not None, listen.tls is None):
        try:
            with socket.create_connection((host, listen.port), _PATIENCE_SECONDS) as plain:
                if not secure:
                    found = _says_ok(plain, host)
                else:
                    with context.wrap_socket(plain) as wrapped:
                        found = _says_ok(wrapped, host)
        except TimeoutError:
            return False  # a gateway answers at once, also who speaks to it in the wrong way
        except ssl.SSLError as exc:
            # A gateway that asks its clients for certificates says so, and no more.
            found = "CERTIFICATE_REQUIRED" in str(exc.reason)
        except OSError:
            found = False
        if found:
            return True
    return False


def _says_ok(connected: socket.socket, host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE_SECONDS)
    connection.sock = connected
    with closing(connection):
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return bool(json.loads(answer.read(4096)) == {"status": "ok"})
        except (ssl.SSLError, TimeoutError):
            raise
        except (OSError, ValueError, http.client.HTTPException):
            return False
