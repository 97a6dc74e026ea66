"""How many workers `auto` stands for."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["count_cores", "count_workers"]

# Where Linux keeps a container's share of CPU time: of version 2 of control groups, and of version 1.
_QUOTAS: Final = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)


def count_workers(workers: int | Literal["auto"]) -> int:
    """Give the number of worker processes that a setting means."""
    return count_cores() if workers == "auto" else workers


def count_cores(quotas: Iterable[tuple[Path, ...]] = _QUOTAS) -> int:
    """Give the number of cores that this process may run on, at least 1.

    A container may have less time than its cores have: a share of 1.5 cores counts as 2.

    Args:
        quotas: Files that hold a quota and its period together; those that are not there are no limit.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in quotas:
        # Without a limit, version 2 says "max" and version 1 says -1.
        with suppress(OSError, ValueError):
            quota, period = map(int, " ".join(file.read_text() for file in files).split())
            if quota > 0 < period:
                cores = min(cores, math.ceil(quota / period))
    return max(cores, 1)
