from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

PATIENCE_SECONDS: Final = 30

# With these, output would have colours, or another width, wherever it goes.
_TERMINAL: Final = ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TERMINAL_WIDTH")

# As systemd does: the socket is descriptor 3, and who it is for is said by process id.
_ACTIVATE: Final = """
import os, sys
os.dup2({}, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="gateway")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands."""
    monkeypatch.chdir(tmp_path)
    for name in _TERMINAL:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str], Path]:
    """A function that writes `gateway.yaml`."""

    def write(text: str) -> Path:
        file = folder / "gateway.yaml"
        file.write_text(dedent(text), encoding="utf-8")
        return file

    return write


@pytest.fixture
def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """A function that puts a distribution with one plugin, a module, on the path of the commands."""

    def install(distribution: str, plugin: str, source: str) -> None:
        module = f"{plugin}_module"
        site = folder / distribution
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[gateway]\n{plugin} = {module}\n")
        (site / f"{module}.py").write_text(dedent(source), encoding="utf-8")
        known = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{known}" if known else str(site))

    return install


@pytest.fixture
def command(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `python -m gateway` to its end."""

    def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=folder,
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            start_new_session=True,
            check=False,
        )

    return command


@pytest.fixture
def inside(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that does what `command` does in this process, which saves the second of a start.

    It is for what a command says. Each command has a test with `command` as well.
    """

    def inside(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        installed = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        known = set(sys.modules)
        with pytest.MonkeyPatch.context() as there:
            there.setattr(sys, "path", [*installed, *sys.path])
            done = CliRunner().invoke(app, arguments, env=environ, catch_exceptions=False)
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return inside


class Running:
    """A `gateway run` with a session of its own.

    Attributes:
        printed: Lines of its standard output so far.
        log: Lines of its standard error so far.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.printed: list[str] = []
        self.log: list[str] = []
        self._news = asyncio.Condition()
        self._readers = [
            asyncio.ensure_future(self._read(process.stdout, self.printed)),
            asyncio.ensure_future(self._read(process.stderr, self.log)),
        ]

    async def _read(self, stream: Any, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode().rstrip("\n"))
            async with self._news:
                self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what it printed or logged fulfils a condition."""

        async def wait() -> None:
            async with self._news:
                await self._news.wait_for(condition)

        waiting = asyncio.ensure_future(wait())
        ended = asyncio.gather(*self._readers)
        await asyncio.wait({waiting, ended}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert condition(), (self.printed, self.log)

    async def printed_lines(self, count: int) -> list[str]:
        """Wait for so many lines of output; give them."""
        await self.until(lambda: len(self.printed) >= count)
        return self.printed

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for a log event; give its line."""
        await self.until(lambda: any(line["event"] == event for line in self.events))
        return next(line for line in self.events if line["event"] == event)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log, one mapping a line, where a line is JSON."""
        return [json.loads(line) for line in self.log if line.startswith("{")]

    @property
    def port(self) -> int:
        """The port of the first address that it printed."""
        return int(self.printed[0].split(":")[2].split("/")[0])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def exit_status(self) -> int:
        """Wait for its end."""
        status = await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)
        await asyncio.gather(*self._readers)
        return status

    def session(self) -> list[int]:
        """Give the processes of its session that live."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.process.pid and fields[0] != "Z":
                        found.append(int(entry.name))
        return found


@pytest.fixture
async def run(folder: Path) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """A function that starts `gateway run`; what it started has ended when the test has.

    With a socket `held` it is started as systemd does that holds one.
    """
    started: list[Running] = []

    async def run(
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        command: str = "run",
        held: socket.socket | None = None,
    ) -> Running:
        activate = ("-c", _ACTIVATE.format(held.fileno())) if held is not None else ()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(*activate, "-m", "gateway", command, *arguments),
            cwd=folder,
            env=os.environ | (environ or {}),
            pass_fds=() if held is None else (held.fileno(),),
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        started.append(Running(process))
        return started[-1]

    yield run
    for running in started:
        for pid in running.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await running.exit_status()
