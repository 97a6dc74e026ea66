"""What an engine has to give: one connection to it. All else is done in `gateway.broker.linked`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from gateway.broker.contract import BrokerUnavailableError, Kept, Position
from gateway.errors import GatewayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway.broker.contract import HistoryPolicy

__all__ = [
    "Answered",
    "FileFaultError",
    "Found",
    "Keep",
    "Link",
    "LinkError",
    "MakeLink",
    "Place",
    "Receive",
]


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


class Place(NamedTuple):
    """Where a message stands in its group's history.

    Args:
        offset: Its own.
        previous: That of the message before it in the group; 0 if it is not known any more.
        epoch: The life of the history.
    """

    offset: int
    previous: int
    epoch: str


class Receive(Protocol):
    """Take a message that has arrived on a channel. It never raises and never waits."""

    def __call__(self, channel: str, data: bytes, place: Place | None = None, /) -> None:
        """Take it; `place` is given for a message that the engine keeps, and for no other."""


class Keep:
    """A message for the engine to keep, give an offset, and pass on to whoever asked for its channel.

    Args:
        group: Its group's name.
        channel: Its group's channel.
        data: The message.
        policy: How much of the group's history is kept.
        idempotency_key: Names the message within its group, so that it is kept once; `None`: nothing does.
        position_wanted: Whether its answer has to be a `Kept`.
        lost: Whether it stands for others that may be lost.
    """

    __slots__ = ("channel", "data", "group", "idempotency_key", "lost", "policy", "position_wanted")

    def __init__(
        self,
        group: str,
        channel: str,
        data: bytes,
        policy: HistoryPolicy,
        idempotency_key: str | None = None,
        *,
        position_wanted: bool = False,
        lost: bool = False,
    ) -> None:
        self.group = group
        self.channel = channel
        self.data = data
        self.policy = policy
        self.idempotency_key = idempotency_key
        self.position_wanted = position_wanted
        self.lost = lost


Answered: TypeAlias = Callable[[Keep, Kept | BrokerUnavailableError | None], None]
"""Take the engine's answer to a message: it is kept, `None` for short where no position is wanted; or it is
refused, and why. It never raises and never waits. There is none for what a link had on its way at its end."""


class Found(NamedTuple):
    """What an engine keeps of a group; as `gateway.broker.contract.History`, with messages for publications.

    Args:
        messages: Place and content of each, in order.
        newest: The position of the group's newest message; where there is none, one before any later.
        floor: No message of the group lies between this offset and the first of `messages`, or `newest`.
        whole: Whether everything that came to the group within the policy's seconds is kept still.
    """

    messages: Sequence[tuple[Place, bytes]]
    newest: Position
    floor: int
    whole: bool


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

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Send messages that the engine keeps, in this order; return when there is room for more.

        Each is answered once, in any order, before this returns or after, as long as the link lives. What the
        engine refuses, or cannot keep at all, is an answer, and neither an error nor the end of the link.
        """

    async def history(
        self, group: str, channel: str, policy: HistoryPolicy, since: int | None, limit: int
    ) -> Found:
        """Read what the engine keeps of a group; arguments and answer as those of `Broker.history`.

        `subscribe` has returned for every channel that was asked for before.

        Raises:
            BrokerUnavailableError: If the engine cannot do it at all, or not now. The link goes on.
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
