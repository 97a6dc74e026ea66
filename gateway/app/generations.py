"""The generations of a gateway: the one that serves, those that drain, and how a reload brings the next."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gateway.app.generation import Generation
from gateway.app.lifeline import Errand, Leave, beat_seconds
from gateway.app.reload import Outcome, judge_in_child, takes_restart
from gateway.app.resume_key import ResumeKeyError, resume_key
from gateway.app.worker_process import WorkerStartError
from gateway.broker.embedded import EmbeddedServerError
from gateway.config import load_config
from gateway.observe.gathered import Gathered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.app.embedding import Embedding
    from gateway.app.serving import Served
    from gateway.config import LogConfig
    from gateway.observe.logs import Logger
    from gateway.server.sockets import ListeningSockets

__all__ = ["Generations"]

_MOST_FORMER: Final = 3


class Generations:
    """The generations on the same sockets: one serves, and former ones drain.

    Args:
        served: What is served at first.
        sockets: What they serve.
        workers: How many each has.
        make_log: Makes the log by its settings.
        embedding: The broker of all generations, where the configuration names no other.
        revocations: Where revocations outlive a worker; `None` for nowhere.
        stopping: Is set when all are to end: who drains then is kept for the exit status.
        failed: Is called with an error of our own that ends the keeping of a slot.
    """

    def __init__(
        self,
        served: Served,
        sockets: ListeningSockets,
        workers: int,
        make_log: Callable[[LogConfig], Logger],
        embedding: Embedding,
        revocations: Path | None,
        stopping: asyncio.Event,
        failed: Callable[[BaseException], object],
    ) -> None:
        self.served = served
        """What the current one serves, or the first is to."""
        self.log = make_log(served.config.log)
        """The log, by the settings of what is served."""
        self.current: Generation | None = None
        """The workers that serve; `None` before they do."""
        self.former: dict[Generation, asyncio.Task[None]] = {}
        """Workers that drain after a reload."""
        self.last_reload: Outcome | None = None
        """What became of the last reload; `None` if there was none."""
        self._sockets = sockets
        self._workers = workers
        self._make_log = make_log
        self._revocations = revocations
        self._stopping = stopping
        self._failed = failed
        self._embedding = embedding
        self._resume_key = ""
        self._gathered = Gathered()

    def begin(self) -> Generation:
        """Make the first generation, which is to be `current` once it has started.

        The embedded broker has been started, if there is to be one.

        Raises:
            ResumeKeyError: If there is no key of resume tokens.
        """
        self._resume_key = resume_key(self.served.config)
        return self._make(self.served)

    def _make(self, served: Served) -> Generation:
        embedded = self._embedding.server
        listen = served.config.listen
        errand = Errand(
            text=served.text,
            host=listen.host,
            port=self._sockets.port,
            unix=None if listen.unix is None else str(listen.unix),
            beat_seconds=beat_seconds(listen.worker_hang_seconds),
            broker=None if embedded is None else (embedded.url, embedded.token, embedded.max_message_bytes),
            resume_key=self._resume_key,
            revocations=None if self._revocations is None else str(self._revocations),
            admin=() if self._sockets.admin is None else self._sockets.admin.descriptors,
        )
        return Generation(
            str(served.path),
            self._sockets,
            self._workers,
            errand,
            listen,
            self.log,
            self._gathered,
            self._failed,
        )

    async def reload(self) -> Outcome:
        """Serve what gateway.yaml says now, with new workers for the old ones; else change nothing.

        Only once there is a current generation, and not before the last reload is done.
        """
        began = time.monotonic()
        try:
            good, problems, changes = await self._reload()
        except (OSError, ResumeKeyError, EmbeddedServerError) as exc:
            good, problems, changes = False, (str(exc),), ()
        seconds = round(time.monotonic() - began, 3)
        self.last_reload = outcome = Outcome(good, time.time(), seconds, problems, changes)
        if good:
            self.log.info("reloaded", seconds=seconds, changes=changes)
        else:
            self.log.error("reload_failed", seconds=seconds, problems=problems)
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
        embedded = self._embedding.server
        most_bytes = None if embedded is None else embedded.max_message_bytes
        fixed = tuple(takes_restart(served.config, config, addressed=served.addressed, most_bytes=most_bytes))
        if fixed:
            return False, fixed, ()
        if config.resume.key.get_secret_value():
            self._resume_key = resume_key(config)
        await self._embedding.provide(config, self.log)
        new = served.with_text(found.text, config)
        generation = self._make(new)
        try:
            await generation.started()
        except WorkerStartError as error:
            trace = {"exception": error.trace} if error.trace else {}
            self.log.error("new_worker_failed", reason=error.fact, **trace)
            return False, (f"a new worker cannot start: {error.fact}",), ()
        else:
            self._take_over(generation, new)
        finally:
            if self.current is not generation:
                generation.kill()
                await generation.ended()
        return True, found.problems, found.changes

    def _take_over(self, generation: Generation, served: Served) -> None:
        former = self.current
        assert former is not None  # noqa: S101 - only after the start
        self.current = generation
        if served.config.log != self.served.config.log:
            self.log = self._make_log(served.config.log)
        self.served = served
        former.leave(Leave(restart=True, hand_over=True))
        self.former[former] = asyncio.create_task(self._see_out(former))

    async def _see_out(self, former: Generation) -> None:
        await former.ended()
        if not self._stopping.is_set():
            del self.former[former]
