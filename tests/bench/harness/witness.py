"""A witness that echoes at a fixed rate beside what others do, in a process of its own."""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPENING = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
MESSAGE = b"\x81\x90\x00\x00\x00\x00sixteen letters."
ECHO = b"\x81\x10sixteen letters."
PATIENCE_SECONDS = 30.0


class Aside:
    """A function that runs in a process of its own, for each question once.

    Args:
        work: takes the arguments, and those of the question.
        arguments: the same for each question.
    """

    def __init__(self, work: Callable[..., Any], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(work, arguments, theirs), daemon=True)
        self._process.start()

    def ask(self, *question: object) -> None:
        """Begin the work."""
        self._ours.send(question)

    def answer(self) -> Any:
        """Wait for its result."""
        return self._ours.recv()


def serve(work: Callable[..., Any], arguments: tuple[object, ...], pipe: Any) -> None:
    """Answer questions until nobody asks any more."""
    machine.raise_file_limit()
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        pipe.send(work(*arguments, *question))


@dataclass(frozen=True)
class Seen:
    """What the witness saw, in seconds."""

    count: int
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        times = (
            f"{name} {value * 1e6:8.0f} us"
            for name, value in (("p50", self.p50), ("p99", self.p99), ("max", self.longest))
        )
        return f"{self.count} echoes, " + ", ".join(times)


def watch(port: int, rate: int, authority: Path | None, seconds: float) -> Seen:
    """Echo at a fixed rate; a message's time counts from when it was due, so that no stall hides others."""
    wire: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if authority is not None:
        wire = ssl.create_default_context(cafile=authority).wrap_socket(wire, server_hostname="localhost")
    with wire:
        wire.sendall(OPENING + b"\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += wire.recv(4096)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"the witness was refused: {head!r}")
        times = []
        begun = time.perf_counter()
        for number in range(round(seconds * rate)):
            due = begun + number / rate
            early = due - time.perf_counter()
            if early > 0:
                time.sleep(early)
            sent = max(due, time.perf_counter() if early > 0 else due)
            wire.sendall(MESSAGE)
            echo = b""
            while len(echo) < len(ECHO):
                echo += wire.recv(4096)
            if echo != ECHO:
                raise SystemExit(f"the witness got {echo!r}")
            times.append(time.perf_counter() - sent)
    times.sort()
    return Seen(len(times), times[len(times) // 2], times[len(times) * 99 // 100], times[-1])
