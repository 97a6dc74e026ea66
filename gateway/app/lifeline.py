"""The line between the supervisor and one worker: JSON objects, one a line, over a pair of sockets.

From the supervisor: first what the worker needs to start, later the order to leave. From the worker: `alive`,
again and again by its event loop, once `ready` or `failed`, and each second what it has counted, which the
supervisor answers with what all workers have counted if it is a question. Neither is on a command line or in
the environment, which others may read. Its end tells the worker that the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.observe.gathered import from_plain, to_plain

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.observe.gathered import Figures

__all__ = ["SHOW_STACK", "Errand", "Leave", "Lifeline", "beat_seconds"]

SHOW_STACK: Final = signal.SIGUSR2 if sys.platform != "win32" else signal.SIGTERM
"""The signal on which a worker, even one that hangs, writes its stack to the line."""

_LONGEST_BEAT_SECONDS: Final = 1.0
_BEATS_MISSED: Final = 4
_TELLING_SECONDS: Final = 5.0
_FIGURES_SECONDS: Final = 0.9  # with beats of a second, each
_MOST_UNSENT: Final = 1_048_576


def beat_seconds(hang_seconds: float) -> float:
    """Give how often a worker says that it lives, if it is killed after `hang_seconds` of silence."""
    return min(hang_seconds / _BEATS_MISSED, _LONGEST_BEAT_SECONDS)


@dataclass(frozen=True)
class Leave:
    """How a worker is to leave.

    Args:
        restart: Whether the gateway goes on: its clients are told 1012 then, else 1001.
        hand_over: Whether others accept from its socket, or will: nobody is refused then.
    """

    restart: bool = False
    hand_over: bool = False

    def line(self) -> bytes:
        """Give it as a line."""
        return json.dumps({"order": "leave", **asdict(self)}).encode() + b"\n"


@dataclass(frozen=True)
class Errand:
    """What a worker is told at its start.

    Args:
        text: The text of gateway.yaml as it was when the supervisor read it last: a worker that is started
            later must not be another gateway than the others.
        host: In place of `listen.host`.
        port: In place of `listen.port`.
        unix: In place of `listen.unix`.
        beat_seconds: How often it says that it lives.
        broker: URL, token and most bytes of a message of the embedded broker; `None` without one.
        resume_key: In place of `resume.key`.
        revocations: The file in place of `revocation.file`, where that is not set; `None` for none.
        admin: Descriptors of the sockets of the operators' listener, by slot; empty without one.
        ready_by: When the worker has to be ready, by the system's monotonic clock.
    """

    text: str
    host: str
    port: int
    unix: str | None
    beat_seconds: float
    broker: tuple[str, str, int] | None
    resume_key: str
    revocations: str | None = None
    admin: tuple[int, ...] = ()
    ready_by: float = math.inf

    def admin_of(self, slot: int) -> int | None:
        """Give the descriptor of a slot's socket for operators; `None` if there is none."""
        return self.admin[slot % len(self.admin)] if self.admin else None

    def line(self) -> bytes:
        """Give it as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Errand:
        """Read it from a line."""
        fields: dict[str, Any] = json.loads(line)
        if fields["broker"] is not None:
            fields["broker"] = tuple(fields["broker"])
        fields["admin"] = tuple(fields["admin"])
        return cls(**fields)


class Lifeline:
    """The worker's end of the line.

    Args:
        line: The socket, inherited from the supervisor.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self._unsent = b""
        self._beat: asyncio.TimerHandle | None = None
        self._told_figures_at = -math.inf
        self._asked: dict[int, asyncio.Future[Figures]] = {}
        self._questions = 0
        self.figures: Callable[[], Figures] | None = None
        """Gives what the worker has counted, which the supervisor is told once a second; `None`: nothing."""

    def receive(self) -> Errand:
        """Wait for what the worker needs to start. Called once, and before `begin`.

        Raises:
            EOFError: If the supervisor is gone.
        """
        while b"\n" not in self._rest:
            data = self._line.recv(65_536)
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return Errand.from_line(line)

    def begin(self, seconds: float, leave: Callable[[Leave], object]) -> None:
        """Say from now on, every so many seconds, that the event loop lives; call `leave` when told to."""
        loop = asyncio.get_running_loop()
        self._line.setblocking(False)
        loop.add_reader(self._line.fileno(), self._read, leave)

        def beat() -> None:
            self._beat = loop.call_later(seconds, beat)
            # A full line has a supervisor that does not read: it will find enough to know by.
            if not self._unsent:
                self._push(b'{"say": "alive"}\n')
            if self.figures is not None and loop.time() >= self._told_figures_at + _FIGURES_SECONDS:
                self._told_figures_at = loop.time()
                self._push_figures(self.figures())

        beat()
        # The supervisor asks for it before it kills a worker that hangs. It needs no event loop.
        faulthandler.register(SHOW_STACK, self._line.fileno(), all_threads=False)

    def _read(self, leave: Callable[[Leave], object]) -> None:
        try:
            data = self._line.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # Without a supervisor nobody would end this process, nor take its part when it dies. Where the
            # kernel kills it with its parent, this is not reached.
            os.kill(os.getpid(), signal.SIGKILL)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["order"] == "leave":
                leave(Leave(order["restart"], order["hand_over"]))
            elif order["order"] == "figures":
                answer = self._asked.pop(order["question"], None)
                if answer is not None and not answer.done():
                    answer.set_result(from_plain(order["figures"]))

    async def share(self, own: Figures) -> Figures:
        """Tell the supervisor what this worker has counted, and be told what all workers have."""
        self._questions += 1
        answer: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()
        question = self._questions
        self._asked[question] = answer
        try:
            self._push_figures(own, question=question)
            return await answer
        finally:
            self._asked.pop(question, None)

    def _push_figures(self, figures: Figures, **more: int) -> None:
        told = {"say": "figures", "figures": to_plain(figures), **more}
        self._push(json.dumps(told).encode() + b"\n")

    def _push(self, line: bytes) -> None:
        """Send a line behind what is not sent yet, without waiting; without room it is lost."""
        if len(self._unsent) > _MOST_UNSENT:
            return
        if self._unsent:
            self._unsent += line
            return
        self._unsent = line
        self._send()
        if self._unsent:
            asyncio.get_running_loop().add_writer(self._line.fileno(), self._send)

    def _send(self) -> None:
        with suppress(OSError):
            sent = self._line.send(self._unsent)
            self._unsent = self._unsent[sent:]
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._line.fileno())

    def ready(self, **facts: object) -> None:
        """Say that the worker serves."""
        self._tell(say="ready", **facts)
        if self.figures is not None:
            self._push_figures(self.figures())

    def failed(self, message: str, trace: str, *, verdict: bool = False) -> None:
        """Say why the worker cannot start; its process ends next.

        Args:
            message: Why.
            trace: The traceback; empty without one.
            verdict: Whether the message is all that is wrong with gateway.yaml, in lines.
        """
        self._tell(say="failed", message=message, trace=trace, **({"verdict": True} if verdict else {}))

    def _tell(self, **facts: object) -> None:
        self._line.settimeout(_TELLING_SECONDS)
        with suppress(OSError):
            self._line.sendall(self._unsent + json.dumps(facts).encode() + b"\n")
            self._unsent = b""
        self._line.setblocking(False)

    def end(self) -> None:
        """Say what was counted at last, and nothing more."""
        if self.figures is not None:
            self._tell(say="figures", figures=to_plain(self.figures()))
        faulthandler.unregister(SHOW_STACK)
        if self._beat is not None:
            self._beat.cancel()
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            asyncio.get_running_loop().remove_writer(self._line.fileno())
