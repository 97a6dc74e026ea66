"""The end of a link, which is the end of everything in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.broker.link import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Ending", "named"]


class Ending:
    """The end of a link: it comes when the first of its tasks ends, and is told once."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Gets the reason."""
        self._tasks: list[asyncio.Task[None]] = []
        self._then: list[Callable[[], None]] = []

    def then(self, let_go: Callable[[], None]) -> None:
        """Have something called when it comes, perhaps more than once: it lets go whoever waits."""
        self._then.append(let_go)

    def start(self, run: Callable[[], Coroutine[Any, Any, None]], where: str = "") -> None:
        """Start a task, whose end is the link's; `where` is said with the reason."""
        self._tasks.append(asyncio.create_task(self._until_the_end(run, where), name="broker valkey"))

    async def _until_the_end(self, run: Callable[[], Coroutine[Any, Any, None]], where: str) -> None:
        try:
            await run()
        except Exception as exc:  # noqa: BLE001 - whatever the library raises: the link is over
            self.come(named(exc, where))
        finally:
            self.come(LinkError("reading has ended"))

    def come(self, error: Exception) -> None:
        """End it, for a reason; only the first is told."""
        if not self.told.done():
            self.told.set_result(error)
        for let_go in self._then:
            let_go()

    def check(self) -> None:
        """See that it has not come.

        Raises:
            LinkError: If it has.
        """
        if self.told.done():
            raise LinkError("the link has ended")

    def abort(self) -> None:
        """End everything at once."""
        self.come(LinkError("aborted"))
        for task in self._tasks:
            task.cancel()


def named(error: Exception, where: str) -> Exception:
    """Give an error that says where it was, if that is not clear by itself."""
    if not where:
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    return LinkError(f"{where}: {text}")
