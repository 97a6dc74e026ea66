"""The supervisor: the process that keeps the listening sockets, and a worker on each."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.app.control import ControlServer
from gateway.app.embedding import make_embedded
from gateway.app.generation import Generation
from gateway.app.lifeline import Errand, Leave, beat_seconds
from gateway.app.reload import Outcome, judge_in_child, takes_restart
from gateway.app.resume_key import ResumeKeyError, resume_key
from gateway.app.status import tell_status_of
from gateway.app.worker_process import WorkerStartError
from gateway.config import load_config
from gateway.observe.gathered import Gathered

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.app.notify import Notifier
    from gateway.app.runtime import RuntimeFolder
    from gateway.app.serving import Served
    from gateway.broker.embedded import EmbeddedServer
    from gateway.config import LogConfig
    from gateway.observe.logs import Logger
    from gateway.server.sockets import ListeningSockets

__all__ = ["Supervisor"]

Result = TypeVar("Result")

_MOST_FORMER: Final = 3
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
        self.served = served
        self.sockets = sockets
        self.port = sockets.port
        """The TCP port; 0 for a unix-domain socket."""
        self._workers = workers
        self._make_log = make_log
        self.log = make_log(served.config.log)
        self._notifier = notifier
        self._folder = folder
        self._control = ControlServer(self)
        self._gathered = Gathered()
        self.embedded: EmbeddedServer | None = None
        self.generation: Generation | None = None
        """The workers that serve; `None` before they do."""
        self.former: dict[Generation, asyncio.Task[None]] = {}
        """Workers that drain after a reload."""
        self.started_at = time.time()
        """Seconds since the epoch."""
        self.last_reload: Outcome | None = None
        """What became of the last reload; `None` if there was none."""
        self._resume_key = ""
        # Whoever starts it with nohup wants it to outlive the terminal.
        self._has_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._told_to_stop = asyncio.Event()
        self._told_to_end = asyncio.Event()
        self._told_to_reload = asyncio.Event()
        self._reloads = asyncio.Lock()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._background: set[asyncio.Task[Any]] = set()

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
        self.embedded = embedded = make_embedded(self.served.config, self.log)
        try:
            if embedded is not None and not await self._unless_told(self._told_to_stop, embedded.start()):
                self.log.info("start_cancelled")
                return 0
            return await self._keep(announce)
        finally:
            if embedded is not None:
                await self._unless_told(self._told_to_end, embedded.stop())
                await embedded.end()
            await self._control.close()

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
        self._resume_key = resume_key(self.served.config)
        first = self._make_generation(self.served)
        generations = [first]
        try:
            if await self._unless_told(self._told_to_stop, first.started()):
                self.generation = first
                self.log.info("workers_started", workers=self._workers)
                announce(await first.started())
                self._notifier.ready(self._in_words())
                self._begin(self._obey_signals())
                self._begin(self._tell_that_it_lives())
                await self._unless_told(self._told_to_stop, self._until_failed())
            self._notifier.stopping()
            self.log.info("workers_stopping", workers=self._workers)
            await self._end_background()
            generations = [self.generation or first, *self.former]
            # From here on only workers that drain have the sockets, and the last to go takes the port along.
            self.sockets.close()
            for generation in generations:
                generation.leave(Leave(hand_over=self.sockets.held))
            if await self._unless_told(self._told_to_end, _all_ended(generations)):
                status = max([await generation.ended() for generation in generations])
                self.log.info("workers_stopped", status=status)
                return status
            self.log.warning("stopped_at_once")
            return 1
        finally:
            await self._end_background()
            everybody = {*generations, *self.former}
            for generation in everybody:
                generation.kill()
            for generation in everybody:
                await generation.ended()
            for task in self.former.values():
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

    def _make_generation(self, served: Served) -> Generation:
        embedded = self.embedded
        errand = Errand(
            text=served.text,
            host=self.served.config.listen.host,
            port=self.port,
            unix=None if self.served.config.listen.unix is None else str(self.served.config.listen.unix),
            beat_seconds=beat_seconds(served.config.listen.worker_hang_seconds),
            broker=None if embedded is None else (embedded.url, embedded.token, embedded.max_message_bytes),
            resume_key=self._resume_key,
            revocations=None if self._folder is None else str(self._folder.revocations),
            admin=() if self.sockets.admin is None else self.sockets.admin.descriptors,
        )
        return Generation(
            str(served.path),
            self.sockets,
            self._workers,
            errand,
            served.config.listen,
            self.log,
            self._gathered,
            self._fail,
        )

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    # Telling.

    async def _tell_that_it_lives(self) -> None:
        seconds = self._notifier.watchdog_seconds
        while seconds is not None:
            if self.generation is not None and self.generation.answers:
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
        if self.generation is None or self._told_to_stop.is_set():
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
            began = time.monotonic()
            try:
                good, problems, changes = await self._reload()
            except (OSError, ResumeKeyError) as exc:
                good, problems, changes = False, (str(exc),), ()
            seconds = round(time.monotonic() - began, 3)
            outcome = Outcome(good, time.time(), seconds, problems, changes)
            self.last_reload = outcome
            if good:
                self.log.info("reloaded", seconds=seconds, changes=changes)
                self._notifier.ready(self._in_words())
            else:
                self.log.error("reload_failed", seconds=seconds, problems=problems)
                self._notifier.ready(f"{self._in_words()}; the last reload failed: {problems[0]}")
            return outcome

    async def _reload(self) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
        """Try to; give whether it was done, lines with what is wrong, and lines with what has changed."""
        if len(self.former) >= _MOST_FORMER:
            count = len(self.former)
            return False, (f"the workers of {count} former reloads drain yet",), ()
        served = self.served
        seconds = served.config.listen.worker_start_seconds
        found = await judge_in_child(str(served.path), served.text, seconds)
        if not found.good:
            return False, found.problems or ("the check has failed",), ()
        # The very text that the child has judged; only the plugins' part of it was not judged here.
        config = load_config(served.path, text=found.text).config
        most_bytes = None if self.embedded is None else self.embedded.max_message_bytes
        fixed = tuple(takes_restart(served.config, config, addressed=served.addressed, most_bytes=most_bytes))
        if fixed:
            return False, fixed, ()
        if config.resume.key.get_secret_value():
            self._resume_key = resume_key(config)
        new = served.with_text(found.text, config)
        generation = self._make_generation(new)
        try:
            await generation.started()
        except WorkerStartError as error:
            trace = {"exception": error.trace} if error.trace else {}
            self.log.error("new_worker_failed", reason=error.fact, **trace)
            return False, (f"a new worker cannot start: {error.fact}",), ()
        else:
            self._take_over(generation, new)
        finally:
            if self.generation is not generation:
                generation.kill()
                await generation.ended()
        return True, found.problems, found.changes

    def _take_over(self, generation: Generation, served: Served) -> None:
        former = self.generation
        assert former is not None  # noqa: S101 - only after the start
        self.generation = generation
        if served.config.log != self.served.config.log:
            self.log = self._make_log(served.config.log)
        self.served = served
        former.leave(Leave(restart=True, hand_over=True))
        self.former[former] = asyncio.create_task(self._see_out(former))

    async def _see_out(self, former: Generation) -> None:
        await former.ended()
        if not self._told_to_stop.is_set():
            del self.former[former]


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
