"""A generation: the workers that serve one text of gateway.yaml, from a start or a reload to their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.app.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.app.lifeline import Errand, Leave
    from gateway.app.worker_process import WorkerProcess
    from gateway.config import ListenConfig
    from gateway.observe.gathered import Gathered
    from gateway.observe.logs import Logger
    from gateway.server.sockets import ListeningSockets

__all__ = ["Generation"]


class Generation:
    """A slot for each worker, all with one errand. They are kept from now on.

    Args:
        config: The path of gateway.yaml.
        sockets: What they serve.
        workers: How many.
        errand: What they are told.
        listen: For how long they may be silent, and start.
        log: Where log lines go.
        gathered: Where what they count is kept.
        failed: Is called with an error of our own that ends the keeping of a slot.
    """

    def __init__(
        self,
        config: str,
        sockets: ListeningSockets,
        workers: int,
        errand: Errand,
        listen: ListenConfig,
        log: Logger,
        gathered: Gathered,
        failed: Callable[[BaseException], object],
    ) -> None:
        self._slots = [
            Slot(number, config, sockets.of(number), errand, listen, log, gathered)
            for number in range(workers)
        ]
        self._keeping = [asyncio.create_task(slot.keep()) for slot in self._slots]
        self.leaving = False
        """Whether they have been told to leave."""

        def look(task: asyncio.Task[int]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                failed(error)

        for task in self._keeping:
            task.add_done_callback(look)

    async def started(self) -> Mapping[str, Any]:
        """Wait until each slot's first worker serves; give what one of them told.

        Raises:
            WorkerStartError: If one of them cannot.
        """
        # Not by `gather`, which would cancel what it waits for with itself.
        firsts = [slot.first for slot in self._slots]
        done, _ = await asyncio.wait(firsts, return_when=asyncio.FIRST_EXCEPTION)
        for first in done:
            first.result()
        return firsts[0].result()

    @property
    def workers(self) -> Iterator[tuple[int, WorkerProcess]]:
        """The newest worker of each slot that had one, with its slot's number."""
        for number, slot in enumerate(self._slots):
            if slot.worker is not None and slot.worker.is_alive:
                yield number, slot.worker

    @property
    def answers(self) -> bool:
        """Whether at least one worker serves, and has been heard lately enough."""
        return any(worker.answers for _, worker in self.workers)

    def leave(self, how: Leave) -> None:
        """Have all drain and end, and start no other."""
        self.leaving = True
        for slot in self._slots:
            slot.stop(how)

    def kill(self) -> None:
        """End all at once, and start no other."""
        for slot in self._slots:
            slot.kill()

    async def ended(self) -> int:
        """Wait for the end of all; give 0 if they ended as they should, else 1."""
        await asyncio.wait(self._keeping)
        return int(any(task.exception() or task.result() for task in self._keeping))
