"""The parent of the generations that `gateway dev` serves with: it watches, and starts a new one."""

from __future__ import annotations

import ipaddress
import json
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.app.worker_process import interpreter
from gateway.cli.common import fail, out, printable
from gateway.cli.sources import Sources
from gateway.config import ConfigError
from gateway.config.load import load_config
from gateway.server.sockets import bind

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from gateway.config import ListenConfig

__all__ = ["Development"]

_LOOK_SECONDS: Final = 0.2
_SETTLE_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 3.0
_MOST_NAMED: Final = 3


class Development:
    """The serving of code and YAML as they are, over all their changes.

    A generation is a fresh process, so that nothing of the old code is left. The listening socket outlives
    it: who connects between two generations, or while something is broken, waits for the next good one.

    Args:
        config: The configuration file.
        port: In place of `listen.port`; `None` for that one.
        quiet: Whether messages are not shown.
    """

    def __init__(self, config: Path, port: int | None, *, quiet: bool) -> None:
        self._config = config
        self._port = port
        self._quiet = quiet
        self._console = out()
        self._sources = Sources(config)
        self._address: tuple[str, int] | None = None
        self._socket: socket.socket | None = None
        self._generation: _Generation | None = None

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; a second one does not wait. Give the exit status."""
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)
        try:
            while True:
                self._listen()
                self._generation = _Generation(self._config, self._socket, quiet=self._quiet)
                changed = self._wait(self._generation)
                self._say(f"changed: {_few(changed)}")
                self._end(self._generation, restart=True)
        except KeyboardInterrupt:
            with suppress(KeyboardInterrupt):
                self._say("stopping; Ctrl-C once more does not wait")
                self._end(self._generation, restart=False)
            return 0
        finally:
            if self._generation is not None:
                self._generation.kill()
            if self._socket is not None:
                self._socket.close()

    def _say(self, text: str) -> None:
        with suppress(OSError):
            self._console.print(text, style="dim")

    def _listen(self) -> None:
        """Have the socket that the configuration asks for, of this machine only."""
        try:
            listen = load_config(self._config).config.listen
        except ConfigError:
            return  # the generation says what is wrong
        address = self._wanted(listen)
        if address == self._address:
            return
        if self._socket is not None:
            self._socket.close()
        self._socket = self._address = None
        try:
            self._socket = bind(*address, listen.backlog)
        except OSError as exc:
            reason = f"cannot listen on {address[0]}:{address[1]}: {(exc.strerror or str(exc)).lower()}"
            if self._generation is None:
                fail(reason)
            self._say(reason)
        else:
            self._address = address
            if address[0] != listen.host:
                self._say(f"serves on {address[0]} only, for its author alone")

    def _wanted(self, listen: ListenConfig) -> tuple[str, int]:
        host = listen.host
        try:
            alone = ipaddress.ip_address(host).is_loopback
        except ValueError:
            alone = False  # who knows where a name leads
        if not alone or listen.unix is not None:
            host = "127.0.0.1"
        return host, listen.port if self._port is None else self._port

    def _wait(self, generation: _Generation) -> list[str]:
        """Wait for the next change; give the files."""
        told = False
        while True:
            self._sources.add(generation.hear(_LOOK_SECONDS))
            changed = self._sources.changed()
            if changed:
                return self._settle(changed)
            if generation.has_ended and not told:
                told = True
                self._say("does not serve; waiting for a change, Ctrl-C ends")

    def _settle(self, changed: list[str]) -> list[str]:
        """Wait until an editor, or whatever changes many files, is done."""
        found = set(changed)
        while True:
            time.sleep(_SETTLE_SECONDS)
            more = self._sources.changed()
            if not more:
                return sorted(found)
            found.update(more)

    def _end(self, generation: _Generation | None, *, restart: bool) -> None:
        if generation is not None and not generation.end(restart=restart):
            self._say(f"did not stop within {_STOP_SECONDS:g} seconds, and was killed")


class _Generation:
    """One process that serves, in the group of this one, so that a debugger in it has the terminal."""

    def __init__(self, config: Path, listening: socket.socket | None, *, quiet: bool) -> None:
        descriptor = -1 if listening is None else listening.fileno()
        self._line, theirs = socket.socketpair()
        with theirs:
            command = [
                *interpreter(),
                *("-m", "gateway", "generation", "--config", os.fspath(config), "--parent", str(os.getpid())),
                *("--line", str(theirs.fileno()), "--socket", str(descriptor)),
                *(("--quiet",) if quiet else ()),
            ]
            passed = (theirs.fileno(),) if listening is None else (theirs.fileno(), descriptor)
            self._process = subprocess.Popen(  # noqa: S603 - the gateway's own
                command,
                pass_fds=passed,
                preexec_fn=_ignore_interrupts,  # noqa: PLW1509 - there are no threads
            )
        self._rest = b""
        self._is_ready = False
        self._is_silent = False

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def hear(self, seconds: float) -> list[str]:
        """Wait for what it says, at most so long; give the files and folders that it names."""
        if self._is_silent:
            time.sleep(seconds)
            return []
        if not select.select([self._line], [], [], seconds)[0]:
            return []
        data = b""
        with suppress(ConnectionError):
            data = self._line.recv(65_536)
        self._is_silent = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        roots: list[str] = []
        for line in lines:
            told: dict[str, Any] = json.loads(line)
            roots += told["roots"]
            if told.get("ready"):
                self._is_ready = True
            else:
                self._send(b"g")  # what it names is looked at, before it does so
        return roots

    def _send(self, word: bytes) -> None:
        with suppress(OSError):
            self._line.sendall(word)

    def end(self, *, restart: bool) -> bool:
        """Have it stop, and wait for that; tell whether it did so in time."""
        if not self._is_ready:
            self._process.terminate()  # it has no clients
        else:
            self._send(b"r" if restart else b"s")
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.kill()
        return True

    def kill(self) -> None:
        """End it at once, if it is there."""
        self._line.close()
        if not self.has_ended:
            self._process.kill()
            self._process.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Have Ctrl-C pass by a process that does not serve yet: the parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _few(files: list[str]) -> str:
    return ", ".join(map(_short, files[:_MOST_NAMED])) + (" …" if len(files) > _MOST_NAMED else "")


def _short(file: str) -> str:
    """Give a path as it is from here, if that is shorter."""
    return printable(min(file, os.path.relpath(file), key=len))
