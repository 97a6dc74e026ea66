"""Tests of threads for functions that block."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def test_one_that_never_returns_does_not_keep_the_process() -> None:
    """The process ends all the same, and with it the thread."""
    program = """
        import asyncio, threading
        from gateway.core.threads import Threads

        async def main():
            threads = Threads("stuck", 1, asyncio.get_running_loop())
            begun = threading.Event()
            stuck = threads.run(lambda: (begun.set(), threading.Event().wait()))
            begun.wait()
            second = threads.run(print, "never")
            assert (threads.running, threads.waiting) == (1, 1)
            threads.close()
            print("ends", end="")

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("ends", "")
