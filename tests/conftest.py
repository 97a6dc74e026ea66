"""The harness of the suite: the event loop of production, and no blocking call in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PATIENCE_SECONDS = 30


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests on uvloop, as the gateway runs."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # noqa: ANN201
    """Make a skipped test a failed one: what the suite needs can be had, and who lacks it has to be told."""
    del item, call
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and no test of the suite may be: {report.longrepr}"


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Give a function that waits until a condition holds, or fails after so many seconds."""

    async def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    return until
