"""How a peer's programs are had: made in a folder of the peer's own, once, and kept there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.client import BUILD, FLAGS, SOURCE, compiler
from harness.errors import BenchError, PeerMissing

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = Path(__file__).parents[1] / "peers"
FOLDERS = BUILD / "peers"
COMMAND_SECONDS = 300


@dataclass(frozen=True)
class Recipe:
    """What a peer consists of, and how that is put into a folder.

    Args:
        parts: packages with their versions, or source files.
        make: puts them into an empty folder.
    """

    parts: tuple[str, ...]
    make: Callable[[Path, tuple[str, ...]], None]

    def text(self) -> str:
        """Return what the folder depends on: while this stays the same, it need not be made again."""
        kinds = [self.make.__name__, *self.parts]
        return "\n".join(
            [*kinds, *(each.read_text() for part in self.parts if (each := PEERS / part).is_file())]
        )


def folder_of(name: str) -> Path:
    """Return the folder that belongs to a peer."""
    return FOLDERS / name


def prepare(name: str, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Make the folder of a peer, unless it is there already.

    Args:
        name: the peer's.
        recipe: how its folder is made.
        say: is told when something is to be made.

    Raises:
        PeerMissing: it cannot be had on this machine; the text says why in one line.
    """
    folder = folder_of(name)
    made = folder / "recipe.txt"
    if made.exists() and made.read_text() == recipe.text():
        return
    say(f"making {name}: {', '.join(recipe.parts)}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        recipe.make(folder, recipe.parts)
    except BenchError as error:
        raise PeerMissing(str(error).strip().splitlines()[-1]) from error
    made.write_text(recipe.text())


def venv(folder: Path, packages: tuple[str, ...]) -> None:
    """Make a virtual environment with packages from PyPI."""
    run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", *packages])


def npm(folder: Path, packages: tuple[str, ...]) -> None:
    """Put packages from npm into the folder's `node_modules`."""
    needs("node")
    needs("npm")
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--loglevel=error")
    run(["npm", "install", *quiet, "--prefix", str(folder), *packages], folder)


def debian(folder: Path, packages: tuple[str, ...]) -> None:
    """Unpack Debian packages into the folder: nothing is installed, and it needs no root."""
    needs("apt-get")
    needs("dpkg")
    run(["apt-get", "download", "--quiet", *packages], folder)
    for package in folder.glob("*.deb"):
        run(["dpkg", "--extract", str(package), str(folder)])
        package.unlink()


def compiled(folder: Path, sources: tuple[str, ...]) -> None:
    """Compile one program from C sources in `peers/`, with the load client's SHA-1."""
    files = [str(PEERS / source) for source in sources] + [str(SOURCE / "accept.c")]
    run([compiler(), *FLAGS, "-o", str(folder / "program"), *files])


def needs(program: str) -> None:
    """Insist on a program.

    Raises:
        BenchError: it is not on the path.
    """
    if shutil.which(program) is None:
        raise BenchError(f"there is no {program} on this machine")


def run(command: list[str], folder: Path | None = None) -> None:
    """Run a command to its end.

    Raises:
        BenchError: it failed, or took more than five minutes; with the last that it wrote.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} took more than {COMMAND_SECONDS} seconds") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise BenchError(f"{Path(command[0]).name} ended with {done.returncode}: {''.join(last)}")
