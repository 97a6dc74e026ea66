"""The supervisor: the process that keeps the listening sockets, and a worker on each."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from gateway.app.embedding import make_embedded
from gateway.app.lifeline import Errand, beat_seconds
from gateway.app.resume_key import resume_key
from gateway.app.slot import Slot
from gateway.observe.gathered import Gathered

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from gateway.broker.embedded import EmbeddedServer
    from gateway.config import GatewayConfig
    from gateway.observe.logs import Logger
    from gateway.server.sockets import ListeningSockets

__all__ = ["Supervisor"]


class Supervisor:
    """The keeper of several workers, and of the embedded broker. It serves nobody itself.

    Args:
        path: The path of gateway.yaml.
        text: Its text.
        config: What it says.
        sockets: The listening sockets, one for each worker, or one for all.
        workers: How many workers.
        log: Where log lines go.
    """

    def __init__(
        self,
        path: Path,
        text: str,
        config: GatewayConfig,
        sockets: ListeningSockets,
        workers: int,
        log: Logger,
    ) -> None:
        self._path = path
        self._text = text
        self._config = config
        self._sockets = sockets
        self._workers = workers
        self.log = log
        self._told_to_stop = asyncio.Event()
        self._told_to_end = asyncio.Event()

    async def run(self, announce: Callable[[Mapping[str, Any]], object]) -> int:
        """Start the workers, keep them until SIGINT or SIGTERM, and end them.

        Args:
            announce: Is called once, when all workers serve, with what one of them told.

        Returns:
            The exit status: 0; 1 if a second signal came, or if a worker did not end as it should.

        Raises:
            WorkerStartError: If a worker cannot start the first time; all have ended then.
            EmbeddedServerError: If the embedded broker cannot.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take_signal)
        embedded = make_embedded(self._config, self.log)
        try:
            if embedded is not None and not await self._unless_told(self._told_to_stop, embedded.start()):
                self.log.info("start_cancelled")
                return 0
            return await self._keep(embedded, announce)
        finally:
            if embedded is not None:
                await self._unless_told(self._told_to_end, embedded.stop())
                await embedded.end()

    def _take_signal(self) -> None:
        """Drain at the first signal, and end at once at the second."""
        told = self._told_to_end if self._told_to_stop.is_set() else self._told_to_stop
        told.set()

    @staticmethod
    async def _unless_told(told: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
        """Do something, and give up once told to; give whether it was done."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(told.wait())
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
                return True
            return False
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)

    async def _keep(
        self, embedded: EmbeddedServer | None, announce: Callable[[Mapping[str, Any]], object]
    ) -> int:
        errand = self._errand(embedded)
        gathered = Gathered()
        slots = [
            Slot(
                number,
                str(self._path),
                self._sockets.of(number),
                errand,
                self._config.listen,
                self.log,
                gathered,
            )
            for number in range(self._workers)
        ]
        keeping = [asyncio.create_task(slot.keep()) for slot in slots]
        try:
            if await self._unless_told(self._told_to_stop, _all_started(slots)):
                self.log.info("workers_started", workers=self._workers)
                announce(slots[0].first.result())
                await self._unless_told(self._told_to_stop, _none_failed(keeping))
            self.log.info("workers_stopping", workers=self._workers)
            # From here on only workers that drain have the sockets, and the last to go takes the port along.
            self._sockets.close()
            for slot in slots:
                slot.stop()
            if await self._unless_told(self._told_to_end, _all_ended(keeping)):
                status = 0 if not any(task.result() for task in keeping) else 1
                self.log.info("workers_stopped", status=status)
                return status
            self.log.warning("stopped_at_once")
            return 1
        finally:
            for slot in slots:
                slot.kill()
            await asyncio.wait(keeping)

    def _errand(self, embedded: EmbeddedServer | None) -> Errand:
        listen = self._config.listen
        return Errand(
            text=self._text,
            host=listen.host,
            port=self._sockets.port,
            unix=None if listen.unix is None else str(listen.unix),
            beat_seconds=beat_seconds(listen.worker_hang_seconds),
            broker=None if embedded is None else (embedded.url, embedded.token, embedded.max_message_bytes),
            resume_key=resume_key(self._config),
        )


async def _all_started(slots: list[Slot]) -> None:
    """Wait until each slot's first worker serves, or one of them cannot."""
    # Not by `gather`, which would cancel what it waits for with itself.
    done, _ = await asyncio.wait([slot.first for slot in slots], return_when=asyncio.FIRST_EXCEPTION)
    for first in done:
        first.result()


async def _none_failed(keeping: list[asyncio.Task[int]]) -> None:
    """Wait for a slot that is kept no longer, which only an error of our own can cause, and raise that."""
    done, _ = await asyncio.wait(keeping, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _all_ended(keeping: list[asyncio.Task[int]]) -> None:
    await asyncio.wait(keeping)
