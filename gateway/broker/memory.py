"""The broker of a single process: publications go straight back to the node that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.broker.contract import Deliver, Publication

__all__ = ["MemoryBroker"]


class MemoryBroker:
    """A broker without a network: for one worker on one machine."""

    def __init__(self) -> None:
        self._deliver: Deliver | None = None

    async def start(self, deliver: Deliver) -> None:
        """Remember where publications go."""
        self._deliver = deliver

    async def stop(self) -> None:
        """Forget it; what is published afterwards reaches no one."""
        self._deliver = None

    def subscribe(self, group: str) -> None:
        """Do nothing: every publication comes back."""

    def unsubscribe(self, group: str) -> None:
        """Do nothing, as `subscribe`."""

    def publish(self, publication: Publication) -> int:
        """Deliver at once."""
        return self._deliver(publication) if self._deliver is not None else 0
