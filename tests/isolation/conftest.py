"""What the tests of isolation share."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway.core import event_connection, presence_events

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon on events that go on when they are cancelled."""
    for module in (event_connection, presence_events):
        monkeypatch.setattr(module, "STUBBORN_SECONDS", 0.1)


@pytest.fixture
def until() -> Callable:
    """Give a function that waits for a condition."""

    async def wait(condition: Callable[[], object], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    return wait
