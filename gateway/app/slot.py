"""A worker slot: one listening socket, and a worker that serves it for as long as the gateway runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.app.lifeline import Leave
from gateway.app.worker_process import WorkerProcess, WorkerStartError
from gateway.children.restarts import Restarts, tell_status

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from gateway.app.lifeline import Errand
    from gateway.config import ListenConfig
    from gateway.observe.gathered import Gathered
    from gateway.observe.logs import Logger

__all__ = ["Slot"]

# For a worker that has drained: closing handshakes, events that wait yet, and what plugins stop.
_ENDING_SECONDS: Final = 30.0


class Slot:
    """The place of one worker. One that dies is replaced.

    While there is none, the socket stays open, and the system queues who comes.

    Args:
        number: Which one; the first is 0.
        config: The path of gateway.yaml.
        listening: The socket that its workers serve.
        errand: What they are told.
        listen: For how long a worker may be silent, and start.
        log: Where log lines go.
        gathered: Where what the workers count is kept.
    """

    def __init__(
        self,
        number: int,
        config: str,
        listening: socket.socket,
        errand: Errand,
        listen: ListenConfig,
        log: Logger,
        gathered: Gathered,
    ) -> None:
        self._number = number
        self._config = config
        self._listening = listening
        self._errand = errand
        self._listen = listen
        self._log = log
        self._gathered = gathered
        self._restarts = Restarts()
        self._stopping = asyncio.Event()
        self._leave = Leave()
        self._killing = False
        self.worker: WorkerProcess | None = None
        """The newest one; `None` before the first."""
        self.first: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        """What the first worker told when it served; or a `WorkerStartError`, after which none follows."""

    async def keep(self) -> int:
        """Keep a worker until the slot is stopped; give the last one's exit status."""
        status = 0
        while not self._stopping.is_set():
            status, lived = await self._one_life()
            if self._stopping.is_set() or self.first.exception() is not None:
                return status
            with suppress(TimeoutError):
                async with asyncio.timeout(self._restarts.pause(lived)):
                    await self._stopping.wait()
                    return 0
        return status

    async def _one_life(self) -> tuple[int, float]:
        """Start a worker and wait for its end; give its status, and for how many seconds it served."""
        loop = asyncio.get_running_loop()
        listen = self._listen
        leave_seconds = listen.drain_seconds + listen.opening_timeout_seconds + _ENDING_SECONDS
        worker = WorkerProcess(
            listen.worker_hang_seconds, listen.worker_start_seconds, leave_seconds, self._gathered
        )
        try:
            await worker.start(self._number, self._config, self._listening, self._errand)
        except OSError as exc:
            # No more processes, say: the other workers go on, and this one is tried again.
            self._tell_start(WorkerStartError(f"a worker cannot be started: {exc.strerror or exc}"))
            return 1, 0.0
        self.worker = worker
        if self._killing:
            worker.kill()
        elif self._stopping.is_set():
            worker.leave(self._leave)
        ending = asyncio.ensure_future(worker.wait())
        try:
            told = await worker.started
        except WorkerStartError as error:
            if not self._stopping.is_set():
                self._tell_start(error)
            return await ending, 0.0
        began = loop.time()
        self._log.info("worker_started", worker=self._number, pid=worker.pid, node=told["node"])
        if not self.first.done():
            self.first.set_result(told)
        status = await ending
        if not (self._killing or (status == 0 and self._stopping.is_set())):
            self._tell_end(worker, status)
        return status, loop.time() - began

    def _tell_start(self, error: WorkerStartError) -> None:
        """Report a failed start: the very first to whoever waits for it, later ones to the log."""
        if not self.first.done():
            self.first.set_exception(error)
            self.first.exception()  # nobody has to wait for it
        else:
            trace = {"exception": error.trace} if error.trace else {}
            self._log.error("worker_start_failed", worker=self._number, reason=error.fact, **trace)

    def _tell_end(self, worker: WorkerProcess, status: int) -> None:
        end = tell_status(status)
        if worker.overdue:
            seconds = round(worker.overdue, 1)
            self._log.error(
                "worker_hung", worker=self._number, pid=worker.pid, seconds=seconds, stack=worker.stack
            )
        elif worker.lingered:
            seconds = round(worker.lingered, 1)
            self._log.error(
                "worker_lingered", worker=self._number, pid=worker.pid, seconds=seconds, stack=worker.stack
            )
        elif status == 0:
            self._log.info("worker_ended", worker=self._number, pid=worker.pid, **end)
        else:
            self._log.error("worker_died", worker=self._number, pid=worker.pid, **end)

    def stop(self, how: Leave) -> None:
        """Have the worker drain and end, and start no other."""
        self._leave = how
        self._stopping.set()
        if self.worker is not None:
            self.worker.leave(how)

    def kill(self) -> None:
        """End the worker at once, and start no other."""
        self._killing = True
        self._stopping.set()
        if self.worker is not None:
            self.worker.kill()
