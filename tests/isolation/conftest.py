"""What the tests of isolation share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway.core import event_connection, patience, presence_events


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon on events that go on when they are cancelled."""
    for module in (event_connection, presence_events):
        monkeypatch.setattr(module, "STUBBORN_SECONDS", 0.1)
    monkeypatch.setattr(patience, "STOP_SECONDS", 0.2)
