"""The supervisor: the process that keeps the listening sockets, and a worker on each."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.app.control import ControlServer
from gateway.app.embedding import Embedding
from gateway.app.generations import Generations
from gateway.app.lifeline import Leave
from gateway.app.reload import Outcome
from gateway.app.status import tell_status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.app.generation import Generation
    from gateway.app.notify import Notifier
    from gateway.app.runtime import RuntimeFolder
    from gateway.app.serving import Served
    from gateway.config import LogConfig
    from gateway.observe.logs import Logger
    from gateway.server.sockets import ListeningSockets

__all__ = ["Supervisor"]

Result = TypeVar("Result")

_WATCHDOG_BEATS: Final = 3


class Supervisor:
    """The keeper of the workers, and of the embedded broker. It serves nobody itself.

    Args:
        served: What is served at first.
        sockets: The listening sockets, one for each worker, or one for all.
        workers: How many workers.
        make_log: Makes the log by its settings.
        folder: Where it is found while it runs; `None` where that cannot be had.
        notifier: Whom it tells what it does.
    """

    def __init__(
        self,
        served: Served,
        sockets: ListeningSockets,
        workers: int,
        make_log: Callable[[LogConfig], Logger],
        folder: RuntimeFolder | None,
        notifier: Notifier,
    ) -> None:
        self.sockets = sockets
        self.port = sockets.port
        """The TCP port; 0 for a unix-domain socket."""
        self._workers = workers
        self._notifier = notifier
        self._folder = folder
        self._control = ControlServer(self)
        self.embedding = Embedding()
        self.started_at = time.time()
        """Seconds since the epoch."""
        # Whoever starts it with nohup wants it to outlive the terminal.
        self._has_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._told_to_stop = asyncio.Event()
        self._told_to_end = asyncio.Event()
        self._told_to_reload = asyncio.Event()
        self._reloads = asyncio.Lock()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._background: set[asyncio.Task[Any]] = set()
        self._living: asyncio.Task[None] | None = None
        revocations = None if folder is None else folder.revocations
        self.generations = Generations(
            served, sockets, workers, make_log, self.embedding, revocations, self._told_to_stop, self._fail
        )

    @property
    def log(self) -> Logger:
        """The log, by the settings of what is served."""
        return self.generations.log

    async def run(self, announce: Callable[[Mapping[str, Any]], object]) -> int:
        """Start the workers, keep them until SIGINT or SIGTERM, and end them.

        Args:
            announce: Is called once, when all workers serve, with what one of them told.

        Returns:
            The exit status: 0; 1 if a second signal came, or if a worker did not end as it should.

        Raises:
            WorkerStartError: If a worker cannot start the first time; all have ended then.
            EmbeddedServerError: If the embedded broker cannot.
            ResumeKeyError: If there is no key of resume tokens.
            RuntimeFolderError: If the control socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take_signal)
        loop.add_signal_handler(signal.SIGHUP, self._take_hangup)
        if self._folder is not None:
            await self._control.start(self._folder)
        embedding = self.embedding
        try:
            providing = embedding.provide(self.generations.served.config, self.log)
            if not await self._unless_told(self._told_to_stop, providing):
                self.log.info("start_cancelled")
                return 0
            return await self._keep(announce)
        finally:
            await self._unless_told(self._told_to_end, embedding.stop())
            await embedding.end()
            await self._control.close()
            if self._living is not None:
                self._living.cancel()

    def _take_hangup(self) -> None:
        """Reload; but end where the signal says that the terminal is closed."""
        if self._has_terminal and not _has_terminal():
            self.ask_to_stop()
        else:
            self._told_to_reload.set()

    def _take_signal(self) -> None:
        """Drain at the first signal, and end at once at the second."""
        self.ask_to_stop(at_once=self._told_to_stop.is_set())

    def ask_to_stop(self, *, at_once: bool = False) -> None:
        """Drain and end, or end at once; to be asked again to drain changes nothing."""
        if at_once:
            self._told_to_end.set()
        self._told_to_stop.set()

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

    async def _keep(self, announce: Callable[[Mapping[str, Any]], object]) -> int:
        generations = self.generations
        first = generations.begin()
        ending = [first]
        try:
            if await self._unless_told(self._told_to_stop, first.started()):
                generations.current = first
                self.log.info("workers_started", workers=self._workers)
                announce(await first.started())
                self._notifier.ready(self._in_words())
                self._begin(self._obey_signals())
                # To the very end: a drain may take longer than systemd waits for a sign of life.
                self._living = asyncio.create_task(self._tell_that_it_lives())
                await self._unless_told(self._told_to_stop, self._until_failed())
            self._notifier.stopping()
            self.log.info("workers_stopping", workers=self._workers)
            await self._end_background()
            ending = [generations.current or first, *generations.former]
            # From here on only workers that drain have the sockets, and the last to go takes the port along.
            self.sockets.close()
            for generation in ending:
                generation.leave(Leave(hand_over=self.sockets.held))
            if await self._unless_told(self._told_to_end, _all_ended(ending)):
                status = max([await generation.ended() for generation in ending])
                self.log.info("workers_stopped", status=status)
                return status
            self.log.warning("stopped_at_once")
            return 1
        finally:
            await self._end_background()
            everybody = {*ending, *generations.former}
            if generations.current is not None:
                everybody.add(generations.current)  # where a reload has put it, and an error ends all
            for generation in everybody:
                generation.kill()
            for generation in everybody:
                await generation.ended()
            for task in generations.former.values():
                task.cancel()

    async def _until_failed(self) -> None:
        await self._failed

    def _begin(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _end_background(self) -> None:
        """End what runs beside, a reload as well."""
        tasks = tuple(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    # Telling.

    async def _tell_that_it_lives(self) -> None:
        seconds = self._notifier.watchdog_seconds
        while seconds is not None:
            current = self.generations.current
            stopping = self._told_to_stop.is_set()  # whether that ends is for systemd's own timeout
            if stopping or (current is not None and current.answers):
                self._notifier.alive()
            await asyncio.sleep(seconds / _WATCHDOG_BEATS)

    def _in_words(self) -> str:
        return f"{self._workers} {'worker serves' if self._workers == 1 else 'workers serve'}"

    def status(self) -> dict[str, Any]:
        """Give what runs, as plain data."""
        return tell_status_of(self)

    # Reloading.

    async def _obey_signals(self) -> None:
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            await self.reload()

    async def reload(self) -> Outcome:
        """Serve what gateway.yaml says now, with new workers for the old ones; else change nothing."""
        if self.generations.current is None or self._told_to_stop.is_set():
            doing = "stops" if self._told_to_stop.is_set() else "starts"
            return Outcome(False, time.time(), 0.0, (f"the gateway {doing}",), ())
        # So that whoever ends the gateway ends this with it.
        task = self._begin(self._reload_in_turn())
        await asyncio.wait({task})
        if task.cancelled():
            return Outcome(False, time.time(), 0.0, ("the gateway stops",), ())
        return task.result()

    async def _reload_in_turn(self) -> Outcome:
        async with self._reloads:
            self._notifier.reloading()
            outcome = await self.generations.reload()
            failure = "" if outcome.good else f"; the last reload failed: {outcome.problems[0]}"
            self._notifier.ready(self._in_words() + failure)
            return outcome


def _has_terminal() -> bool:
    """Tell whether a terminal controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


async def _all_ended(generations: list[Generation]) -> None:
    for generation in generations:
        await generation.ended()
