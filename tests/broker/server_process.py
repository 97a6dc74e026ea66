"""A server as a child process: started, stopped, held and killed by the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE_SECONDS = 30


class ServerProcess:
    """A server that runs as a child process.

    Args:
        folder: Where its data and its log are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str], answers: Callable[[], bool]) -> None:
        """Start a command, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.005)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def forget(self) -> None:
        """Lose all its data, between its end and the next start."""
        for folder in self.folder.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)

    def hold(self) -> None:
        """Stop it where it stands; its TCP connections stay."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)  # until its last thread has stopped

    def release(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it, however it is; harmless if it has ended."""
        if self._process is not None and self._process.poll() is None:
            self.release()
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(PATIENCE_SECONDS)
