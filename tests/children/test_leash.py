"""Tests of the leash: a child ends with its parent, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway.children import leash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

# Says its process id, and waits for a signal.
CHILD = "import os, signal; print(os.getpid(), flush=True); signal.pause()"

# Starts such a child on a leash, on the main thread, and waits.
PARENT = """
import signal, subprocess, sys
from gateway.children import leash
sys.platform = sys.argv[1]
command = leash.leashed(sys.executable, "-c", sys.argv[2])
assert command[4] == sys.argv[3]
subprocess.Popen(command, stdin=subprocess.PIPE)
signal.pause()
"""

MANNERS = pytest.mark.parametrize(
    ("platform", "manner"), [("linux", "become"), ("darwin", "guard")], ids=["linux", "elsewhere"]
)


class Family:
    """A parent, and its child on a leash.

    Attributes:
        parent: The parent's process.
        child: The child's process id.
    """

    def __init__(self, platform: str, manner: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, platform, CHILD, manner],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.parent.stdout is not None
        self.child = int(self.parent.stdout.readline())


@pytest.fixture
def start() -> Iterator[Callable[[str, str], Family]]:
    """A function that starts a family; the test ends it."""
    families: list[Family] = []

    def start(platform: str, manner: str) -> Family:
        families.append(Family(platform, manner))
        return families[-1]

    yield start
    for family in families:
        family.parent.kill()
        family.parent.wait()
        with suppress(ProcessLookupError):
            os.kill(family.child, signal.SIGKILL)
        assert family.parent.stdout is not None
        family.parent.stdout.close()


@MANNERS
async def test_a_child_dies_with_its_parent(
    start: Callable[..., Family], gone: Callable[[int], Awaitable[None]], platform: str, manner: str
) -> None:
    """A parent that is killed takes its child with it."""
    family = start(platform, manner)
    family.parent.kill()
    await gone(family.child)


@MANNERS
async def test_a_stopped_child_dies_with_its_parent(
    start: Callable[..., Family], gone: Callable[[int], Awaitable[None]], platform: str, manner: str
) -> None:
    """A child that is stopped cannot end itself, and dies all the same."""
    family = start(platform, manner)
    os.kill(family.child, signal.SIGSTOP)
    family.parent.kill()
    await gone(family.child)


@pytest.mark.parametrize("manner", ["become", "guard"])
def test_a_child_that_lost_its_parent_before_is_never_run(manner: str) -> None:
    """Where the parent is another than the one that started it, the program is not run."""
    command = [sys.executable, "-I", "-S", leash.__file__, manner, "1", sys.executable, "-c", "print('run')"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize("manner", ["become", "guard"])
@pytest.mark.parametrize(("code", "status"), [("exit(0)", 0), ("exit(7)", 7)], ids=["good", "bad"])
def test_a_child_ends_as_it_does(manner: str, code: str, status: int) -> None:
    """Its exit status is the program's own."""
    command = leash.leashed(sys.executable, "-c", code)
    command[4] = manner
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.wait(20) == status


@pytest.mark.parametrize("manner", ["become", "guard"])
def test_a_signal_reaches_the_program(manner: str) -> None:
    """SIGTERM ends the program, in whichever way it is held."""
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
        "print('ready', flush=True); signal.pause()"
    )
    command = leash.leashed(sys.executable, "-c", code)
    command[4] = manner
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.terminate()
        assert child.wait(20) == 5


def test_the_parent_is_looked_at_after_the_kernel_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that dies meanwhile is noticed: the kernel would send no signal for it any more."""
    calls: list[Any] = []

    class Libc:
        @staticmethod
        def prctl(*arguments: int) -> int:
            calls.append(arguments)
            return 0

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Libc)
    monkeypatch.setattr(os, "getppid", lambda: calls.append("getppid") or 1)
    monkeypatch.setattr(os, "kill", lambda pid, number: calls.append((pid, number)))
    leash.die_with_parent(2)
    own = (os.getpid(), signal.SIGKILL)
    assert calls == [(1, signal.SIGKILL, 0, 0, 0), "getppid", own]
