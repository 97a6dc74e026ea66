"""The load client: compiled when its source has changed, and run for one measurement."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError
from harness.machine import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[1] / "client"
BUILD = Path(__file__).parents[1] / ".build"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra")
OPENING_SECONDS = 90.0


def build() -> Path:
    """Return the compiled load client; its name carries a hash of the source, so that it is never stale.

    Raises:
        BenchError: there is no C compiler, or it refuses the source.
    """
    sources = sorted(SOURCE.glob("*.[ch]"))
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sources:
        digest.update(source.read_bytes())
    program = BUILD / f"load-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    BUILD.mkdir(exist_ok=True)
    for old in BUILD.glob("load-*"):
        old.unlink()
    unfinished = BUILD / f"unfinished-{os.getpid()}"
    command = [compiler(), *FLAGS, "-o", str(unfinished), *(str(s) for s in sources if s.suffix == ".c")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(f"the load client does not compile:\n{result.stderr}")
    return unfinished.rename(program)


def compiler() -> str:
    """Return the C compiler.

    Raises:
        BenchError: there is none.
    """
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise BenchError("no C compiler found: the load client needs cc, gcc or clang")
    return found


class Client:
    """The load client's program and the core that it runs on.

    Args:
        program: what `build` returned.
        core: the core to run on; `None` for any.
    """

    def __init__(self, program: Path, core: int | None) -> None:
        self.program = program
        self.core = core

    def run(self, mode: str, port: int, pids: list[int], **options: object) -> dict[str, Any]:
        """Run one measurement and return the load client's report; `in_flight=16` is its `--in-flight 16`,
        and `json=True` its `--json`.

        Raises:
            BenchError: a message was lost or wrong, a connection was closed or refused, or nothing came back.
        """
        with pinned(self.core):
            process = subprocess.Popen(
                self._command(mode, port, pids, options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        try:
            output, errors = process.communicate()
        finally:
            process.kill()
        if process.returncode:
            raise BenchError(errors.strip() or f"load ended with status {process.returncode}")
        result: dict[str, Any] = json.loads(output)
        return result

    @contextmanager
    def hold(self, port: int, connections: int, **options: object) -> Iterator[subprocess.Popen[str]]:
        """Keep idle connections open while the body runs; all of them are open when it begins.

        Raises:
            BenchError: not all connections opened.
        """
        with pinned(self.core):
            process = subprocess.Popen(
                self._command("hold", port, [], {"connections": connections, **options}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        with process:
            try:
                self.answer(process)
                yield process
            finally:
                process.kill()

    def answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the next line that a holding client prints.

        Raises:
            BenchError: it ended instead, or says nothing for 90 seconds.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stdout], [], [], OPENING_SECONDS)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            raise BenchError(process.stderr.read().strip() or "load said nothing for 90 seconds")
        result: dict[str, Any] = json.loads(line)
        return result

    def publish(self, process: subprocess.Popen[str]) -> int:
        """Publish one message from a held connection and return how many of them got it, once all have.

        Raises:
            BenchError: not all of them got it.
        """
        assert process.stdin is not None
        process.stdin.write("publish\n")
        process.stdin.flush()
        return int(self.answer(process)["received"])

    def _command(self, mode: str, port: int, pids: list[int], options: dict[str, Any]) -> list[str]:
        command = [str(self.program), mode, "--port", str(port)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        for pid in pids:
            command += ["--server-pid", str(pid)]
        return command
