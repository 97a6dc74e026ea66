"""The supervisor's view of one worker process: from its start to its end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.app.lifeline import SHOW_STACK, beat_seconds
from gateway.errors import GatewayError
from gateway.observe.gathered import from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.app.lifeline import Errand, Leave
    from gateway.observe.gathered import Figures, Gathered

__all__ = ["WorkerProcess", "WorkerStartError", "interpreter"]

_STACK_SECONDS: Final = 0.25
_LAST_WORDS_SECONDS: Final = 0.5


class WorkerStartError(GatewayError):
    """A worker that ended, or was ended, before it served.

    Args:
        fact: What it told, or what is known of its end.
        trace: The traceback, as text; empty if there is none.
        is_verdict: Whether the fact is all that is wrong with gateway.yaml, in lines. Default: no.
    """

    def __init__(self, fact: str, trace: str = "", *, is_verdict: bool = False) -> None:
        super().__init__(fact)
        self.fact = fact
        self.trace = trace
        self.is_verdict = is_verdict


class WorkerProcess(asyncio.Protocol):
    """A worker: a fresh process with a line to it.

    Args:
        hang_seconds: For how long it may be silent once it is ready; then it is killed.
        start_seconds: Within which it has to be ready; then it is killed.
        leave_seconds: Within which it has to end once it is told to; then it is killed.
        gathered: Where what it counts is kept.
    """

    def __init__(
        self, hang_seconds: float, start_seconds: float, leave_seconds: float, gathered: Gathered
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._hang_seconds = hang_seconds
        self._start_seconds = start_seconds
        self._leave_seconds = leave_seconds
        self._gathered = gathered
        self._worker = ""
        self._rest = b""
        # When it was started; once it serves, when it was last heard.
        self._since = self._looked_at = self._loop.time()
        self._line_ended = self._loop.create_future()
        self._leaving_since: float | None = None
        self._look: asyncio.TimerHandle | None = None
        self.ready_at: float | None = None
        """Since when it serves, in the loop's time; `None` before."""
        self.started: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        """What it told when it was ready; or a `WorkerStartError`."""
        self.stack: list[str] = []
        """Where it hung, a line for each step, if it did."""
        self.overdue = 0.0
        """For how many seconds it had been silent, or starting, when it was killed for that; else 0."""
        self.lingered = 0.0
        """For how many seconds it had been leaving when it was killed for that; else 0."""
        self._process: asyncio.subprocess.Process
        self._line: asyncio.Transport

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def start(self, slot: int, config: str, listening: socket.socket, errand: Errand) -> None:
        """Start the process. Called once, on the main thread: the process dies with it.

        Args:
            slot: The number of its slot.
            config: The path of gateway.yaml.
            listening: The socket that it serves.
            errand: What it is told.

        Raises:
            OSError: If the system starts no process.
        """
        self._worker = str(slot)
        admin = errand.admin_of(slot)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *interpreter(),
                    *("-m", "gateway", "worker", "--config", config, "--slot", str(slot)),
                    *("--parent", str(os.getpid())),
                    *("--socket", str(listening.fileno()), "--line", str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(listening.fileno(), theirs.fileno(), *(() if admin is None else (admin,))),
                    # Ctrl-C reaches the whole group of the terminal, and the workers are to be told by
                    # the supervisor. It also lets the kernel wake a stopped worker that lost its parent.
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._line, _ = await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._since = self._looked_at = self._loop.time()
        self._line.write(replace(errand, ready_by=self._since + self._start_seconds).line())
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what the worker says."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                # Faulthandler's own words; they may have come into the middle of the worker's.
                if not line.startswith(b"{"):
                    self.stack.append(line.decode(errors="replace"))
            else:
                self._take(told)

    def _take(self, told: Mapping[str, Any]) -> None:
        if self.ready_at is not None:
            self._since = self._loop.time()
            if told["say"] == "figures":
                self._take_figures(told)
        elif told["say"] == "ready" and not self.started.done():
            self.ready_at = self._since = self._loop.time()
            self.started.set_result(told)
        elif told["say"] == "failed" and not self.started.done():
            verdict = told.get("verdict") is True
            self._fail(WorkerStartError(str(told["message"]), str(told["trace"]), is_verdict=verdict))

    def _take_figures(self, told: Mapping[str, Any]) -> None:
        self._gathered.take(self, self._worker, from_plain(told["figures"]))
        question = told.get("question")
        if question is not None and not self._line.is_closing():
            figures = to_plain(self._gathered.merged())
            order = {"order": "figures", "question": question, "figures": figures}
            self._line.write(json.dumps(order).encode() + b"\n")

    def _fail(self, error: WorkerStartError) -> None:
        self.started.set_exception(error)
        self.started.exception()  # whoever waits for it gets it; nobody has to

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the line has ended."""
        del exc
        self._line_ended.set_result(None)

    def _watch(self) -> None:
        """Look again and again whether it is late."""
        now = self._loop.time()
        pause = beat_seconds(self._hang_seconds)
        if now - self._looked_at > 2 * pause:
            # The supervisor itself, or the whole machine, has slept: what was said meanwhile is yet to come.
            self._since += now - self._looked_at
            if self._leaving_since is not None:
                self._leaving_since += now - self._looked_at
        self._looked_at = now
        limit = self._hang_seconds if self.ready_at is not None else self._start_seconds
        late = now - self._since
        leaving = 0.0 if self._leaving_since is None else now - self._leaving_since
        if late >= limit or leaving >= self._leave_seconds:
            if late >= limit:
                self.overdue = late
            else:
                self.lingered = leaving
            self._look = self._loop.call_later(_STACK_SECONDS, self.kill)
            with suppress(ProcessLookupError):
                self._process.send_signal(SHOW_STACK)
        else:
            self._look = self._loop.call_later(min(pause, limit - late), self._watch)

    def leave(self, how: Leave) -> None:
        """Tell it to drain and to end; it obeys the first time."""
        if self._leaving_since is None:
            self._leaving_since = self._loop.time()
        if not self._line.is_closing():
            self._line.write(how.line())

    @property
    def age(self) -> float:
        """For how many seconds it has served, or been starting if it does not yet."""
        return self._loop.time() - (self._since if self.ready_at is None else self.ready_at)

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    @property
    def answers(self) -> bool:
        """Whether it serves, and has been heard lately enough."""
        return self.ready_at is not None and self._loop.time() - self._since < self._hang_seconds

    @property
    def figures(self) -> Figures | None:
        """What it has counted last; `None` if it has not told."""
        return self._gathered.of(self)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> int:
        """Wait for its end; give its exit status, or the number of the signal that killed it below 0."""
        status = await self._process.wait()
        if self._look is not None:
            self._look.cancel()
        # What it said last may still lie in the line, which ends with the process, unless a process that it
        # has started holds on to it.
        await asyncio.wait({self._line_ended}, timeout=_LAST_WORDS_SECONDS)
        self._line.abort()
        self._gathered.end(self, replaced=self._leaving_since is None)
        if not self.started.done():
            self._fail(WorkerStartError(self._last_words(status), "\n".join(self.stack)))
        return status

    def _last_words(self, status: int) -> str:
        if self.overdue:
            return f"a worker was not ready within {self._start_seconds:g} seconds"
        end = f"status {status}" if status >= 0 else f"signal {-status}"
        return f"a worker ended at its start, with {end}"


def interpreter() -> list[str]:
    """Give the command of the interpreter that runs this process, as it was started."""
    command = [sys.executable]
    if sys.flags.isolated:
        command.append("-I")
    # `-m` would put the working directory on the path, where the command `gateway` does not have it.
    elif sys.path[:1] != [os.getcwd()]:  # noqa: PTH109 - as a text
        command.append("-P")
    return command
