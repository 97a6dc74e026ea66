"""Tests of what systemd is told, and where it says what it wants."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.app.notify import Notifier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_told(tmp_path: Path, abstract: bool) -> None:
    """Each message goes to the socket, which may have no file; texts are one line."""
    name = f"gateway-test-{os.getpid()}"
    address = f"\0{name}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": f"@{name}" if abstract else address, "HOME": "/"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        notifier = Notifier(environ)
        assert environ == {"HOME": "/"}
        assert notifier.watchdog_seconds is None
        notifier.ready("one\nREADY=0")
        notifier.alive()
        notifier.reloading()
        notifier.stopping()
        told = [manager.recv(4096).decode().splitlines() for _ in range(4)]
        assert told[0] == ["READY=1", "STATUS=one READY=0"]
        assert told[1] == ["WATCHDOG=1"]
        assert told[2][0] == "RELOADING=1"
        assert told[2][1].startswith("MONOTONIC_USEC=")
        assert told[3][0] == "STOPPING=1"
    notifier.alive()  # systemd is gone, which is no reason to fail
    notifier.close()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "mine"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_it_wants_to_be_told(tmp_path: Path, given: dict[str, str], seconds: float | None) -> None:
    """The watchdog's time is for the process that systemd names, and is taken out of the environment."""
    environ = {key: value.replace("mine", str(os.getpid())) for key, value in given.items()}
    environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    notifier = Notifier(environ)
    assert notifier.watchdog_seconds == seconds
    assert environ == {}
    notifier.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234"])
def test_nobody_wants_to_know(address: str) -> None:
    """Without a socket that it knows, nothing is told."""
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert notifier.watchdog_seconds is None
    notifier.ready("serves")
    notifier.close()
