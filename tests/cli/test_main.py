"""Tests of the command line as a whole: version, help, and wrong use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gateway

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_version(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`python -m gateway --version` prints the version."""
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gateway {gateway.__version__}\n", "")


def test_the_installed_command_is_the_same() -> None:
    """The script `gateway` does what `python -m gateway` does."""
    script = Path(sys.executable).with_name("gateway")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == f"gateway {gateway.__version__}\n"


def test_the_help_names_every_command(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Without arguments the help is printed, with each command."""
    done = inside()
    assert done.returncode == 2
    for name in ("run", "check", "plugins", "routes", "connect", "new-plugin", "hash-token"):
        assert f" {name} " in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("serve",), "serve"), (("check", "--colour"), "--colour"), (("run", "--port", "70000"), "65535")],
)
def test_wrong_use_is_told_without_a_traceback(
    inside: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], said: str
) -> None:
    """A command or option that there is not gets exit status 2 and a line that says so."""
    done = inside(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
