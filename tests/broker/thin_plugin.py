"""A plugin with a broker, as an installed one has it: what a plugin's broker has to promise holds for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import Options, PluginBroker, hookimpl
from gateway.app.brokers import make_broker
from gateway.app.prepare import prepare
from gateway.broker.memory import MemoryBroker
from gateway.plugin.manager import Plugin

if TYPE_CHECKING:
    from gateway.broker.contract import Broker, HistoryOf

TEXT = """
plugins: {{live: {{enabled: false}}}}
broker: {{type: thin, known_seconds: {known_seconds}}}
routes: [{{path: /echo, handlers: [echo]}}]
"""


class Known(Options):
    """Its options."""

    known_seconds: float


class Thin(PluginBroker[Known]):
    """A broker that leaves everything to the one in memory."""

    keeps_history = True

    def __init__(self, options: Known, node: str, log: Any) -> None:
        super().__init__(options, node, log)
        self._inner: MemoryBroker | None = None

    @property
    def inner(self) -> MemoryBroker:
        """What does the work; `history_of` is set by the time it is asked for."""
        if self._inner is None:
            self._inner = MemoryBroker(self.history_of, self.options.known_seconds)
        return self._inner

    async def start(self, deliver: Any, notified: Any, on_gap: Any) -> None:
        """Begin, and say so: a status that nobody sets counts as up, and tells no more."""
        await self.inner.start(deliver, notified, on_gap)
        self.status = self.inner.status

    async def stop(self) -> None:
        """End."""
        await self.inner.stop()

    def subscribe(self, group: str) -> None:
        """Receive a group."""
        self.inner.subscribe(group)

    def unsubscribe(self, group: str) -> None:
        """Receive it no more."""
        self.inner.unsubscribe(group)

    def publish(self, publication: Any) -> int:
        """Publish."""
        return self.inner.publish(publication)

    def notify(self, note: Any) -> int:
        """Tell."""
        return self.inner.notify(note)

    async def claim(self, key: str, seconds: float) -> bool:
        """Claim."""
        return await self.inner.claim(key, seconds)

    async def store(self, publication: Any, idempotency_key: str | None = None) -> Any:
        """Keep."""
        return await self.inner.store(publication, idempotency_key)

    async def history(self, group: str, since: int | None, limit: int) -> Any:
        """Read."""
        return await self.inner.history(group, since, limit)


class ThinPlugin:
    """The plugin."""

    @hookimpl
    def gateway_brokers(self) -> Any:
        """Give the broker."""
        return {"thin": Thin}


def make_thin(name: str, log: Any, history_of: HistoryOf, known_seconds: float) -> Broker:
    """Make the broker as a gateway does: from the plugin's hook, by a judged gateway.yaml."""
    plugin = Plugin("thin", "thin-plugin", "1", ThinPlugin())
    text = TEXT.format(known_seconds=known_seconds)
    return make_broker(prepare("gateway.yaml", {}, [plugin], text=text), name, log, history_of)
