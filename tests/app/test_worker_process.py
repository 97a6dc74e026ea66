"""Tests of the supervisor's view of a worker: when it is late, and what it said last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app.lifeline import SHOW_STACK, Leave
from gateway.app.worker_process import WorkerProcess, WorkerStartError
from gateway.observe.gathered import Gathered

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A loop's time that a test moves, with its timers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Give the time."""
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Note a timer."""
        self.timers.append((self.now + seconds, callback))

    def run_to(self, end: float) -> None:
        """Let the time pass, and each timer come when it is due."""
        while self.timers and min(self.timers)[0] <= end:
            self.timers.sort()
            self.now, callback = self.timers.pop(0)
            callback()
        self.now = end

    def sleep_to(self, end: float) -> None:
        """Let the time pass without any timer, as for a process that is stopped."""
        self.now = end
        due, self.timers = self.timers, []
        for _, callback in due:
            callback()


class Signals:
    """What was sent to a process that is none."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.send_signal = self.sent.append

    def kill(self) -> None:
        """Note it."""
        self.sent.append("kill")


class Line:
    """A line that takes whatever is said."""

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def write(self, data: bytes) -> None:
        """Take it."""


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
async def worker(clock: Clock) -> WorkerProcess:
    """A worker that is killed after 10 silent seconds, and has 60 to start and 40 to leave; it is watched."""
    worker = WorkerProcess(10.0, 60.0, 40.0, Gathered())
    worker._line = Line()  # type: ignore[assignment]
    worker._loop = clock  # type: ignore[assignment]
    worker._process = Signals()  # type: ignore[assignment]
    worker._since = worker._looked_at = clock.now
    worker._watch()
    return worker


def sent(worker: WorkerProcess) -> list[Any]:
    """Give what was sent to the worker."""
    signals: Any = worker._process
    return list(signals.sent)


def tell(worker: WorkerProcess, **said: object) -> None:
    """Have the worker say something."""
    worker.data_received(json.dumps(said).encode() + b"\n")


async def test_a_silent_worker_is_killed(worker: WorkerProcess, clock: Clock) -> None:
    """After its last word it has ten seconds; it is asked for its stack first, and then killed."""
    tell(worker, say="ready", node="n")
    for second in range(1, 6):
        clock.run_to(1000 + second)
        tell(worker, say="alive")
    clock.run_to(1014.9)
    assert sent(worker) == []
    clock.run_to(1015)
    assert sent(worker) == [SHOW_STACK]
    worker.data_received(b'  File "handler.py", line 3 in on_message\n')
    clock.run_to(1016)
    assert sent(worker) == [SHOW_STACK, "kill"]
    assert worker.overdue == 10
    assert worker.stack == ['  File "handler.py", line 3 in on_message']


async def test_it_answers_once_it_serves_and_while_it_is_heard(worker: WorkerProcess, clock: Clock) -> None:
    """One that starts, or has been silent for too long, is none that answers; systemd is told by this."""
    assert not worker.answers
    tell(worker, say="ready", node="n")
    assert worker.answers
    clock.run_to(1009.9)
    assert worker.answers
    clock.run_to(1010)
    assert not worker.answers
    tell(worker, say="alive")
    assert worker.answers


async def test_a_start_has_its_own_time(worker: WorkerProcess, clock: Clock) -> None:
    """Before it is ready it may be silent for longer; but all in all, however alive it is."""
    clock.run_to(1030)
    for second in range(1030, 1060):
        clock.run_to(second)
        tell(worker, say="alive")
    assert sent(worker) == []
    clock.run_to(1060)
    assert sent(worker) == [SHOW_STACK]


async def test_one_that_does_not_leave_is_killed(worker: WorkerProcess, clock: Clock) -> None:
    """Once it is told to end it has forty seconds, however alive it is, and no more when it is told again."""
    tell(worker, say="ready", node="n")
    for second in range(1001, 1050):
        clock.run_to(second)
        tell(worker, say="alive")
        if second in {1010, 1030}:
            worker.leave(Leave())
    assert sent(worker) == []
    clock.run_to(1050)
    assert sent(worker) == [SHOW_STACK]
    clock.run_to(1051)
    assert sent(worker) == [SHOW_STACK, "kill"]
    assert (worker.overdue, worker.lingered) == (0, 40)


async def test_a_supervisor_that_slept_blames_nobody(worker: WorkerProcess, clock: Clock) -> None:
    """After a pause of its own, the time begins anew for everybody."""
    tell(worker, say="ready", node="n")
    clock.run_to(1002)
    clock.sleep_to(1500)
    assert sent(worker) == []
    clock.run_to(1507)
    assert sent(worker) == []
    clock.run_to(1508)
    assert sent(worker) == [SHOW_STACK]


async def test_what_it_told_first_holds(worker: WorkerProcess) -> None:
    """A worker is ready once; lines may come in pieces."""
    line = json.dumps({"say": "ready", "node": "first"}).encode()
    worker.data_received(line[:7])
    assert not worker.started.done()
    worker.data_received(line[7:] + b"\n")
    tell(worker, say="ready", node="second")
    tell(worker, say="failed", message="no", trace="")
    assert worker.started.result()["node"] == "first"


async def test_why_it_cannot_start(worker: WorkerProcess) -> None:
    """Its own word for why it cannot start is what is told."""
    tell(worker, say="failed", message="no such table", trace="Traceback")
    with pytest.raises(WorkerStartError, match="no such table") as caught:
        await worker.started
    assert caught.value.trace == "Traceback"


@pytest.mark.parametrize(
    ("status", "overdue", "text"),
    [
        (3, 0.0, "a worker ended at its start, with status 3"),
        (-11, 0.0, "a worker ended at its start, with signal 11"),
        (-9, 60.0, "a worker was not ready within 60 seconds"),
    ],
)
async def test_what_is_known_of_one_that_said_nothing(
    worker: WorkerProcess, status: int, overdue: float, text: str
) -> None:
    """Of a worker that just ended, how it ended is told."""
    worker.overdue = overdue
    assert worker._last_words(status) == text
