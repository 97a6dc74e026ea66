from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def gone() -> Callable[[int], Awaitable[None]]:
    """A function that waits until a process lives no longer."""

    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    async def gone(pid: int) -> None:
        async with asyncio.timeout(20):
            while lives(pid):
                await asyncio.sleep(0.005)

    return gone
