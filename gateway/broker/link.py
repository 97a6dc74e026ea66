"""What an engine has to give: one connection to it. All else is done in `gateway.broker.linked`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from gateway.errors import GatewayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

__all__ = ["FileFaultError", "Link", "LinkError", "MakeLink", "Receive"]


class LinkError(GatewayError):
    """A connection to an engine that cannot be made, or not be used any longer.

    Args:
        fact: Why, in lower case and without a credential in it.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class FileFaultError(LinkError):
    """A file of the settings that cannot be used.

    Args:
        key: Where the settings name it, from `broker` on.
        fact: Why, in lower case and with nothing of its content.
    """

    def __init__(self, key: tuple[str, ...], fact: str) -> None:
        super().__init__(f"{'.'.join(key)}: {fact}")
        self.key = key
        self.file_fact = fact


Receive: TypeAlias = Callable[[str, bytes], None]
"""Take a message that has arrived on a channel. It never raises and never waits."""


class Link(Protocol):
    """One connection to an engine: opened once, used, and thrown away. It never connects again by itself.

    Any method that waits may raise `OSError`, `TimeoutError`, `LinkError` or an error of the engine's
    library, and may be cancelled; the link is aborted then, and another takes its place.

    Messages that arrive are handed over as they come, one after the other. If they come faster than the
    node takes them, they wait in the socket; what the engine does with a node that is too slow is the
    engine's business, as long as it shows: none is left out within a link.
    """

    ended: asyncio.Future[Exception]
    """Gets the reason when the connection ends by itself, or loses messages that it should have received."""
    most_bytes: int
    """Most bytes of a message that the engine takes; known once the link is open."""

    async def open(self) -> None:
        """Connect and log in. Whoever calls sets the time limit."""

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Ask for the messages of channels. What is sent through this link afterwards comes back."""

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Ask for them no more; some may come still."""

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send messages, each to its channel, in this order; return when there is room for more.

        They are written before this waits for the first time, so that what another task sends meanwhile
        comes behind them.
        """

    async def claim(self, key: str, seconds: float) -> bool:
        """Be the first to name a key; as `Broker.claim`.

        Raises:
            BrokerUnavailableError: If the engine cannot do it at all.
        """

    async def close(self) -> None:
        """End in order: what was sent has reached the engine when this returns."""

    def abort(self) -> None:
        """End at once, whatever is on its way. Harmless at a link that is not open, or has ended."""


MakeLink: TypeAlias = Callable[[str, Receive], Link]
"""Make a link to the server at a URL; called on the event loop, it does nothing until it is opened."""
