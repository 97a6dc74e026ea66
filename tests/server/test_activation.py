"""Tests of sockets that systemd passes on: which are taken, and which fit."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.config.models import ListenConfig
from gateway.server.activation import ActivationError, activated


def passed(*sockets: socket.socket, pid: int | None = None) -> tuple[dict[str, str], int]:
    """Pass sockets on as systemd does, from a descriptor on; give the environment, and the descriptor."""
    first = 100
    for index, one in enumerate(sockets):
        os.dup2(one.fileno(), first + index)
    environ = {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDNAMES": "x"}
    return environ, first


@pytest.mark.parametrize("port", ["same", "any"])
def test_a_socket_that_fits(port: str) -> None:
    """All workers get the one socket; it outlives the gateway, and no program inherits the order."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        environ, first = passed(held)
        number = held.getsockname()[1]
        listen = ListenConfig(host="127.0.0.9", port=number if port == "same" else 0)
        sockets = activated(listen, environ, first)
        assert sockets is not None
        assert environ == {}
        assert (sockets.port, sockets.held) == (number, True)
        assert sockets.of(0) is sockets.of(1)
        assert not os.get_inheritable(sockets.of(0).fileno())
        sockets.close()
        sockets.remove()
        with socket.create_connection(held.getsockname()):
            pass


def test_a_unix_domain_socket_that_fits(tmp_path: Path) -> None:
    """Its path is the file's; its file stays, since it is systemd's."""
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen()
        sockets = activated(ListenConfig(unix=path), *passed(held))
        assert sockets is not None
        assert sockets.port == 0
        sockets.close()
        sockets.remove()
        assert path.exists()
        with pytest.raises(ActivationError, match=r"gateway.sock, and listen says unix:other"):
            activated(ListenConfig(unix="other"), *passed(held))  # type: ignore[arg-type]
        with pytest.raises(ActivationError, match="listen says port 8000"):
            activated(ListenConfig(), *passed(held))


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": "me"},
    ],
)
def test_sockets_for_somebody_else_are_none(environ: dict[str, str]) -> None:
    """Without a number of sockets for this very process there are none."""
    environ = {key: value.replace("me", str(os.getpid())) for key, value in environ.items()}
    assert activated(ListenConfig(), environ) is None
    assert environ == {}


@pytest.mark.parametrize("kind", ["datagram", "connected", "closed"])
def test_what_is_no_listening_socket(kind: str) -> None:
    """Any other descriptor is refused in words, and no second one stays open."""
    one: Any
    with socket.create_server(("127.0.0.1", 0)) as good:
        if kind == "datagram":
            one = socket.socket(type=socket.SOCK_DGRAM)
        elif kind == "connected":
            one, other = socket.socketpair()
            other.close()
        else:
            one = Path(os.devnull).open()  # noqa: SIM115 - closed below
        with one, pytest.raises(ActivationError, match=r"cannot listen on the socket from systemd: "):
            activated(ListenConfig(port=0), *passed(good, one))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(100)
