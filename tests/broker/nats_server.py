"""A real NATS server on a free port."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

from server_process import ServerProcess

PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"


class NatsServer(ServerProcess):
    """A NATS server on 127.0.0.1. It keeps its port when it is started again.

    Args:
        folder: An empty folder of its own.
        config: What stands in its configuration besides; `FOLDER` stands for the folder.
        jetstream: Whether it has JetStream.
    """

    def __init__(self, folder: Path, config: str = "", *, jetstream: bool = False) -> None:
        super().__init__(folder)
        self.port = 0
        self.cluster_port = 0
        self._config = config.replace("FOLDER", str(folder))
        if jetstream:
            self._config += f'\njetstream: {{store_dir: "{folder}/data"}}\n'

    @property
    def url(self) -> str:
        """Its URL."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        file = self.folder / "nats.conf"
        listen = f"127.0.0.1:{self.port or -1}"
        file.write_text(f'listen: "{listen}"\nports_file_dir: "{self.folder}"\n{self._config}')
        self.launch([str(PROGRAM), "--config", str(file)], self._answers)

    def _answers(self) -> bool:
        ports = self.folder / f"nats-server_{self.pid}.ports"
        try:
            found = json.loads(ports.read_text())
        except (OSError, ValueError):
            return False
        self.port = _port(found["nats"])
        self.cluster_port = _port(found.get("cluster", ["0"]))
        return True


def _port(urls: list[str]) -> int:
    return int(urls[0].rpartition(":")[2])
