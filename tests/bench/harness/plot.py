"""The picture of a run: drawn by `plot_run.py` in a virtual environment that has matplotlib."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.recipes import Recipe, folder_of, prepare, venv

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parents[1] / "plot_run.py"
NAME = "plot"


def draw(run: str, file: Path, say: Callable[[str], None]) -> None:
    """Draw throughput and latency of a run into a PNG file.

    Args:
        run: the run as JSON.
        file: where the picture goes.
        say: is told when matplotlib is to be installed.

    Raises:
        BenchError: matplotlib cannot be had, or does not draw.
    """
    prepare(NAME, Recipe(("matplotlib==3.11.2",), venv), say)
    done = subprocess.run(
        [str(folder_of(NAME) / "bin" / "python"), str(PROGRAM), str(file)],
        input=run,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{PROGRAM.name}: {''.join(done.stderr.strip().splitlines()[-1:])}")
