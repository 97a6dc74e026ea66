"""Tasks side by side, with an end that is certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.broker.link import LinkError

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["end", "until_one_ends"]

_AGAIN_SECONDS: Final = 0.2


async def until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side; when the first ends, end the others, and raise what it raised.

    Raises:
        LinkError: If the first was cancelled: by a library's doing, since whoever waits here was not.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.cancelled():
                raise LinkError("cancelled")
            if task in done:
                task.result()
    finally:
        await end(tasks)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: code that they wait in may take the first time for its own."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it
