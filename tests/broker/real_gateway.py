"""A gateway as it runs in earnest: processes of its own, with a handler that publishes what it is told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import IO, Any

PATIENCE_SECONDS = 30.0

# What it is sent is `GROUP PUBLISHER NUMBER`, for any group.
_SOURCE = """
    import asyncio
    import gc
    import json
    import os

    import gateway

    class Press(gateway.Handler):
        async def on_message(self, connection, message):
            if message == "figures":
                gc.collect()
                figures = {
                    "pid": os.getpid(),
                    "tasks": len(asyncio.all_tasks()),
                    "files": len(os.listdir("/proc/self/fd")) - 1,
                    "connections": connection.node.metrics.connections,
                    "recoveries": dict(connection.node.metrics.recoveries),
                }
                connection.send(json.dumps(figures))
                return
            group = message.split()[0]
            try:
                if group.startswith("kept"):
                    await connection.node.publish_confirmed(group, message, idempotency_key=message)
                else:
                    connection.publish(group, message)
            except gateway.BrokerUnavailableError:
                connection.send("no " + message)
            else:
                connection.send("ok " + message)

    class Silent(gateway.Handler):
        pass

    class Tell(gateway.Handler):
        def on_open(self, connection):
            connection.send(str(os.getpid()))

    @gateway.hookimpl
    def gateway_handlers():
        return {"press": Press, "silent": Silent, "tell": Tell}
"""


def install_press(folder: Path) -> None:
    """Put a distribution with the plugin into a folder that is to be on Python's path."""
    info = folder / "press_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: press-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gateway]\npress = press_module\n")
    (folder / "press_module.py").write_text(dedent(_SOURCE), encoding="utf-8")


def free_port() -> int:
    """Find a port of the loopback address that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class RealGateway:
    """A `gateway run` with a session of its own.

    Args:
        folder: An empty folder of its own.
        config: What stands in its gateway.yaml; `PORT` stands for its port.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        (folder / "gateway.yaml").write_text(config.replace("PORT", str(self.port)), encoding="utf-8")
        install_press(folder / "plugins")

    def launch(self) -> None:
        """Start it."""
        known = os.environ.get("PYTHONPATH")
        path = str(self.folder / "plugins")
        environ = os.environ | {
            "PYTHONPATH": f"{path}{os.pathsep}{known}" if known else path,
            # What is left of a gateway that was killed goes with the folder.
            "TMPDIR": str(self.folder),
        }
        with (self.folder / "log").open("ab") as log, (self.folder / "printed").open("ab") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run"],
                cwd=self.folder,
                env=environ,
                stdout=printed,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it serves."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.folder / "printed").read_text():
            assert self._process is not None
            assert self._process.poll() is None, self.log_text()
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.02)

    def log_text(self) -> str:
        """Give its log."""
        return (self.folder / "log").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log, one mapping a line."""
        return [
            json.loads(line)
            for line in self.log_text().splitlines()
            if line.startswith("{") and line[-1] == "}"
        ]

    @property
    def workers(self) -> dict[int, int]:
        """The newest worker of each slot, by its process id."""
        return {line["worker"]: line["pid"] for line in self.events if line["event"] == "worker_started"}

    @property
    def pid(self) -> int:
        """The process id of the supervisor, or of the only process."""
        assert self._process is not None
        return self._process.pid

    @property
    def broker_pid(self) -> int | None:
        """The process id of its embedded broker."""
        pids = [line["pid"] for line in self.events if line["event"] == "embedded_broker_started"]
        return pids[-1] if pids else None

    def url(self, path: str) -> str:
        """Give the WebSocket URL of a path."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def session(self) -> list[int]:
        """Give the processes of its session that live."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.pid and fields[0] != "Z":
                        found.append(int(entry.name))
        return found

    def end(self) -> int | None:
        """End it, and whatever it has started; give its exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self._process.wait(PATIENCE_SECONDS)
