"""Tests of the base of plugins' brokers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import BrokerUnavailableError, Publication, no_history
from gateway.observe.logs import make_logger
from gateway.plugin.broker import PluginBroker
from gateway.plugin.handler import Options

if TYPE_CHECKING:
    from collections.abc import Callable


class Plain(PluginBroker):
    """A broker that does no more than it has to."""

    async def start(self, deliver: Any, notified: Any, on_gap: Any) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    def subscribe(self, group: str) -> None:
        """Do nothing."""

    def unsubscribe(self, group: str) -> None:
        """Do nothing."""

    def publish(self, publication: Any) -> int:
        """Reach no one."""
        return 0

    def notify(self, note: Any) -> int:
        """Reach no one."""
        return 0

    async def claim(self, key: str, seconds: float) -> bool:
        """Grant nothing."""
        return False


@pytest.fixture
def make() -> Callable[[type[PluginBroker]], PluginBroker]:
    """A function that makes a broker of a class."""
    return lambda cls: cls(Options(), "one", make_logger("debug", "json", io.StringIO()))


async def test_history_is_a_brokers_own_choice(make: Callable[..., PluginBroker]) -> None:
    """Without methods of its own it says that it keeps none, whatever is asked."""
    broker = make(Plain)
    assert not broker.keeps_history
    assert broker.history_of is no_history
    with pytest.raises(BrokerUnavailableError, match="keeps no history"):
        await broker.store(Publication("room:1", "x"), "key")
    with pytest.raises(BrokerUnavailableError, match="keeps no history"):
        await broker.history("room:1", None, 1)
