"""What runs beside a test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


class Runner(Protocol):
    """What runs for ever."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Run."""


@asynccontextmanager
async def running(one: Runner) -> AsyncIterator[None]:
    """Have something run until the block ends; raise what it has raised."""
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
