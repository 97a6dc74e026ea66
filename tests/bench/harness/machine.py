"""What the kernel tells: cores, the processes of a server, their CPU time and memory."""

from __future__ import annotations

import os
import platform
import resource
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROC = Path("/proc")
QUIET_LOAD = 0.5


def raise_file_limit() -> None:
    """Raise this process's limit of open files, which its children inherit, as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores() -> tuple[int | None, int | None]:
    """Return the cores of the server and of the load client; `None` twice where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Let what is started inside begin its life on `core`; `None` pins nothing."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processes_of_session(session: int) -> list[int]:
    """Return the ids of all processes of a session, so that a server with children is counted whole."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            # The command may hold spaces and brackets; the fields after it are state, parent, group, session.
            if int(stat.rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.name))
    return sorted(found)


def cpu_seconds(pids: list[int]) -> float:
    """Return the user and system time that processes have used so far, in seconds."""
    # The clock of another process: CPUCLOCK_SCHED of <linux/posix-timers.h>, which has no name in `time`.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def private_bytes(pids: list[int]) -> int:
    """Return the memory that is only theirs, in bytes: what would come free if the processes ended."""
    total = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def wait_for(condition: Callable[[], bool], seconds: float, interval: float = 0.05) -> bool:
    """Ask for `condition` until it holds; return whether it did within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def describe() -> dict[str, Any]:
    """Return what a reader needs to know of the machine to judge the figures."""
    model = "unknown"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def disturbance(load_average: float) -> str:
    """Say that a machine with this load average, before a run, is not a quiet one; nothing if it is."""
    if load_average <= QUIET_LOAD:
        return ""
    return f"; load average {load_average:.1f} at the start: not a quiet machine"
