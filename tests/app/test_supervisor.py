"""Tests of the supervisor's end by an error of its own."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app.notify import Notifier
from gateway.app.serving import Served
from gateway.app.supervisor import Supervisor
from gateway.config import load_config
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from pathlib import Path


class Generation:
    """Workers that serve until they are killed."""

    def __init__(self) -> None:
        self.killed = asyncio.Event()
        self.answers = True

    async def started(self) -> dict[str, Any]:
        """Serve at once."""
        return {}

    def kill(self) -> None:
        """End."""
        self.killed.set()

    async def ended(self) -> int:
        """Wait for the end."""
        await self.killed.wait()
        return 0


async def test_an_error_of_its_own_ends_the_workers_of_a_reload_too(tmp_path: Path) -> None:
    """Whatever generation serves or drains then, all are killed, and the error is told."""
    file = tmp_path / "gateway.yaml"
    file.write_text("routes: []", encoding="utf-8")
    served = Served(file, "routes: []", load_config(file).config)
    sockets: Any = SimpleNamespace(port=0, admin=None)
    supervisor = Supervisor(
        served, sockets, 1, lambda _: make_logger("debug", "json", io.StringIO()), None, Notifier()
    )
    first, current, draining = (Generation() for _ in range(3))
    generations: Any = supervisor.generations
    generations.begin = lambda: first
    announced = asyncio.Event()
    keeping = asyncio.ensure_future(supervisor._keep(lambda _: announced.set()))
    await announced.wait()
    # As two reloads leave it.
    generations.current = current
    seeing_out = asyncio.ensure_future(asyncio.sleep(0))
    generations.former = dict.fromkeys((first, draining), seeing_out)
    supervisor._fail(RuntimeError("a mistake"))
    with pytest.raises(RuntimeError, match="a mistake"):
        await asyncio.wait_for(keeping, 10)
    assert all(each.killed.is_set() for each in (first, current, draining))
    assert supervisor._living is not None
    supervisor._living.cancel()
