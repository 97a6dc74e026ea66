"""A handler of an outside package: built, installed by pip, named in a YAML, and served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from textwrap import dedent
from typing import TYPE_CHECKING, Final

import pytest
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_SECONDS: Final = 30

FILES: Final = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "acme-shout"
        version = "2.3.4"
        dependencies = ["gateway-ws"]

        [project.entry-points.gateway]
        shout = "acme_shout"
    """,
    "acme_shout.py": """
        from gateway import Connection, Handler, Options, hookimpl


        class ShoutOptions(Options):
            times: int = 1


        class Shout(Handler[ShoutOptions]):
            def on_open(self, connection: Connection) -> None:
                connection.send("hello " + connection.params["room"])

            async def on_message(self, connection: Connection, message: str | bytes) -> None:
                connection.send(message.upper() * self.options.times)


        @hookimpl
        def gateway_handlers() -> dict[str, type[Handler]]:
            return {"shout": Shout}
    """,
    "gateway.yaml": """
        listen: {port: 0}
        plugins: {live: {enabled: false}}
        routes:
          - path: /shout/{room}
            handlers: [{name: shout, options: {times: 2}}]
            allow_missing_origin: true
    """,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package, with its gateway.yaml."""
    project = tmp_path_factory.mktemp("project")
    for name, content in FILES.items():
        (project / name).write_text(dedent(content).lstrip(), encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the package into."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            # The gateway and hatchling are here already, so the index has nothing to give.
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", target, project),
        ],
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    return target


@pytest.fixture
def command(project: Path, installed: Path) -> Callable[..., subprocess.Popen[str]]:
    """A function that starts `python -m gateway` beside the package's gateway.yaml."""
    paths = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]

    def command(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=project,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return command


def test_it_is_listed_with_its_distribution(command: Callable[..., subprocess.Popen[str]]) -> None:
    """`gateway plugins` names package, version and handler; `gateway check` accepts the options."""
    said, _ = command("plugins").communicate(timeout=PATIENCE_SECONDS)
    assert ["shout", "acme-shout", "2.3.4", "shout"] in [line.split() for line in said.splitlines()]
    said, _ = command("check").communicate(timeout=PATIENCE_SECONDS)
    assert said == "gateway.yaml: good, 1 route\n"


def test_it_serves(command: Callable[..., subprocess.Popen[str]]) -> None:
    """`gateway run` serves the package's handler with its options, and ends cleanly."""
    gateway = command("run")
    # Whatever goes wrong, reading what it prints comes to an end.
    guard = threading.Timer(PATIENCE_SECONDS, gateway.kill)
    guard.start()
    try:
        assert gateway.stdout is not None
        printed = next((line for line in gateway.stdout if line.startswith("ws ")), "nothing")
        url = printed.split()[-1].replace("{room}", "green")
        with connect(url, proxy=None) as client:
            assert client.recv() == "hello green"
            client.send("quietly ")
            assert client.recv() == "QUIETLY QUIETLY "
            client.send(b"bytes")
            assert client.recv() == b"BYTESBYTES"
        gateway.send_signal(signal.SIGINT)
        rest, _ = gateway.communicate()
        assert gateway.returncode == 0, rest
    finally:
        guard.cancel()
        gateway.kill()
        gateway.wait()
