"""The leash: what has a child process die with its parent, however that one ends.

For a program that knows nothing of it, this file is run as a script, on Python's standard library alone:
`python -I -S leash.py become PARENT PROGRAM ARGUMENT...`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

__all__ = ["die_with_parent", "leashed"]

_PR_SET_PDEATHSIG: Final = 1


def leashed(*command: str) -> list[str]:
    """Give the command that runs another as a child that dies with this process.

    It has to be started by the main thread, and its standard input has to be a pipe that this process keeps
    open.

    Args:
        command: A program, by its path, and its arguments.
    """
    # Elsewhere there is nothing that the kernel would do: there another process has to watch.
    manner = "become" if sys.platform == "linux" else "guard"
    return [sys.executable, "-I", "-S", __file__, manner, str(os.getpid()), *command]


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; at once, if it has died already.

    On other systems than Linux only the latter.

    Args:
        parent: The parent's process id, as it knew it itself.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - a part of Python that only this needs

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")
    # After the call: whoever lost its parent before, or meanwhile, gets no signal.
    _die_without_parent(parent)


def _die_without_parent(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _guard(command: list[str]) -> int:
    """Run a command as a child until it ends, or until standard input does, which the parent keeps open."""
    import subprocess  # noqa: PLC0415 - not needed on Linux
    import threading  # noqa: PLC0415 - not needed on Linux

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the gateway's own

    def pass_on(number: int, _: Any) -> None:
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        child.kill()

    threading.Thread(target=watch, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _main(manner: str, parent: str, *command: str) -> None:
    if manner == "become":
        die_with_parent(int(parent))
        try:
            os.execv(command[0], command)  # noqa: S606 - the gateway's own
        except OSError as exc:
            sys.exit(f"cannot run {command[0]}: {exc.strerror}")
    # A guard has to outlive its parent, for as long as it takes to end its own child.
    _die_without_parent(int(parent))
    sys.exit(_guard(list(command)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
