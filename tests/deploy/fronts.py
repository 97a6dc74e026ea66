"""The shipped nginx and HAProxy, on free ports of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE_SECONDS = 30


def free_port() -> int:
    """Find a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Front:
    """A proxy in front of two gateways, by its file in `deploy/`.

    Args:
        kind: `nginx` or `haproxy`.
        program: The path of the program.
        folder: An empty folder of its own.
        port: Where it listens.
        secure_port: Where it listens with TLS, if it is let in.
    """

    kind: str
    program: str
    folder: Path
    port: int
    secure_port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def said(self) -> str:
        """What it has written so far."""
        return (self.folder / "said").read_text("utf-8", errors="replace")

    def connect(self, path: str, *, secure: bool = False, **options: Any) -> connect:
        """Open a connection through it; `options` are those of the `connect` of `websockets`."""
        options.setdefault("proxy", None)
        scheme, port = ("wss", self.secure_port) if secure else ("ws", self.port)
        return connect(f"{scheme}://localhost:{port}{path}", **options)

    async def start(
        self, deploy: Path, ports: tuple[int, int], changes: Mapping[str, str], certificate: Path | None
    ) -> None:
        """Start it, and wait until it takes connections."""
        file = self._write(deploy, ports, changes, certificate)
        if self.kind == "nginx":
            # The master would give its workers to a user who may not enter the test's folder.
            user = " user root;" if os.geteuid() == 0 else ""
            command = [self.program, "-p", str(self.folder), "-c", str(file), "-g", f"daemon off;{user}"]
        else:
            command = [self.program, "-db", "-f", str(file)]
        with (self.folder / "said").open("wb") as said:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it has to be ended by a fixture, too
                command, stdout=said, stderr=said, start_new_session=True
            )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if self.process.poll() is not None:
                    raise AssertionError(f"{self.kind} ended with {self.process.returncode}:\n{self.said}")
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return

    def _write(
        self, deploy: Path, ports: tuple[int, int], changes: Mapping[str, str], certificate: Path | None
    ) -> Path:
        """Write its file, with the ports and paths of this test."""
        name = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[self.kind]
        texts = {
            "gateway-1:8000": f"127.0.0.1:{ports[0]}",
            "gateway-2:8000": f"127.0.0.1:{ports[1]}",
            **changes,
        }
        if self.kind == "nginx":
            texts |= {"listen 8080": f"listen 127.0.0.1:{self.port}", "/tmp/": f"{self.folder}/"}  # noqa: S108
        else:
            # Raising the limit of descriptors is not for everyone.
            texts |= {"bind :8080": f"bind 127.0.0.1:{self.port}", "maxconn 65536": "maxconn 500"}
        if certificate is not None:
            texts |= {
                "#tls ": "",
                "/etc/nginx/tls/fullchain.pem": str(certificate),
                "/etc/nginx/tls/privkey.pem": str(certificate),
                "/etc/haproxy/tls/gateway.pem": str(certificate),
                "listen 8443": f"listen 127.0.0.1:{self.secure_port}",
                "bind :8443": f"bind 127.0.0.1:{self.secure_port}",
            }
            texts = {old: new for old, new in texts.items() if ("nginx" not in old or self.kind == "nginx")}
        text = (deploy / name).read_text("utf-8")
        for old, new in texts.items():
            if certificate is None or old in text:
                assert old in text, f"{old!r} is not in {name}"
            text = text.replace(old, new)
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file

    def end(self) -> None:
        """End it at once, its workers too."""
        if hasattr(self, "process"):
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
