"""What handlers and plugins call on a node."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.broker.contract import Publication
from gateway.core.confirming import publish_confirmed
from gateway.core.groups import EVERYONE, user_group
from gateway.protocol.close_codes import may_be_sent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from gateway.broker.contract import Broker, History
    from gateway.core.clock import Clock
    from gateway.core.confirming import Confirmed
    from gateway.core.connection import Connection
    from gateway.core.doubts import Doubts
    from gateway.core.guard import Guards
    from gateway.core.hub import Hub
    from gateway.core.orders import Orders
    from gateway.core.owned import Owned, Timer
    from gateway.core.presence import Member
    from gateway.core.resuming import Resuming
    from gateway.core.roster import Roster
    from gateway.core.selection import Selection
    from gateway.core.trackers import Trackers

__all__ = ["NodeCalls"]

Result = TypeVar("Result")


class NodeCalls:
    """The part of a node that handlers and plugins use; `gateway.core.node` has the rest."""

    broker: Broker
    clock: Clock
    doubts: Doubts
    guards: Guards
    hub: Hub
    idempotency_seconds: float
    orders: Orders
    resuming: Resuming
    roster: Roster
    trackers: Trackers
    _owned: Owned

    def publish(
        self,
        group: str,
        message: str | bytes,
        *,
        exclude: Connection | None = None,
        key: str | None = None,
    ) -> int:
        """Publish a message to a group, on every node.

        Args:
            group: Its name.
            message: `str` for text, `bytes` for binary.
            exclude: A connection that does not get it; `None` for no one.
            key: What the message is the newest state of, for the overflow policy `conflate`; `None` stands
                for the whole group.

        Returns:
            How many connections of this node it was handed to.

        Raises:
            BrokerUnavailableError: If `broker: when_down` is `refuse`, and other nodes cannot be reached.
            MessageTooBigError: If it is too big for the way between nodes; no one has got it then.
        """
        excluded = None if exclude is None else exclude.id
        return self.broker.publish(Publication(group, message, excluded, key))

    async def publish_confirmed(
        self,
        group: str,
        message: str | bytes,
        *,
        exclude: Connection | None = None,
        key: str | None = None,
        idempotency_key: str | None = None,
    ) -> Confirmed:
        """Publish a message to a group, and wait until the broker has it; otherwise as `publish`.

        Args:
            group: Its name.
            message: `str` for text, `bytes` for binary.
            exclude: As in `publish`.
            key: As in `publish`.
            idempotency_key: Names the message: within `broker: idempotency_seconds` it is published once,
                however often and on whichever node it is tried. `None` for no such care.

        Returns:
            What became of it, with its place in the group's history if that keeps one.

        Raises:
            BrokerUnavailableError: If the broker has not said that it has it. With an idempotency key it is
                safe to try again; in a group without history at another node only once that has heard of it.
            MessageTooBigError: If it is too big for the way between nodes.
        """
        excluded = None if exclude is None else exclude.id
        publication = Publication(group, message, excluded, key)
        return await publish_confirmed(self, publication, idempotency_key)

    async def history(self, group: str, since: int | None = None, limit: int = 100) -> History:
        """Read what a group keeps.

        Args:
            group: Its name.
            since: The offset behind which to begin; `None` for the newest ones.
            limit: Most publications that are given, in their order.

        Returns:
            What it keeps. Where a place in it stands for publications that may be lost, or holds one that
            this node cannot read, `floor` is no lower than that place, and `whole` is false.

        Raises:
            BrokerUnavailableError: If the broker cannot be asked.
            ValueError: If the group keeps no history.
        """
        found = await self.broker.history(group, since, limit)
        lost = [one.offset for one in found.publications if one.lost]
        if not lost:
            return found
        whole = tuple(one for one in found.publications if not one.lost)
        return found._replace(publications=whole, floor=max(found.floor, *lost), whole=False)

    async def resume_token(self, *groups: str) -> str:
        """Sign where groups are now, as for a page that is about to be rendered.

        A client that connects with it to a route with `envelope: json` first gets what has been published
        since. Ask for it before you read what the page shows.

        Args:
            groups: Names of groups that keep history: all of those that the client's connection joins.

        Raises:
            BrokerUnavailableError: If the broker cannot be asked.
            ValueError: If a group keeps no history, or there are too many for a token.
        """
        return (await self.resuming.sign_present(groups)).token

    def publish_to_user(self, user: str, message: str | bytes, *, exclude: Connection | None = None) -> int:
        """Publish a message to all connections of a user, on every node; otherwise as `publish`."""
        return self.publish(user_group(user), message, exclude=exclude)

    def publish_to_everyone(self, message: str | bytes, *, exclude: Connection | None = None) -> int:
        """Publish a message to every connection on every node; otherwise as `publish`."""
        return self.publish(EVERYONE, message, exclude=exclude)

    def members(self, group: str) -> tuple[Connection, ...]:
        """Give a group's members on this node."""
        return self.hub.members(group)

    def presence(self, group: str) -> tuple[Member, ...]:
        """Give who is in a group, over all nodes, in the order of their coming.

        Other nodes' members are known within some tenths of a second.

        Raises:
            NoPresenceError: If gateway.yaml does not say `presence: true` of the group.
        """
        return self.roster.members(group)

    def presence_member(self, group: str, member_id: str) -> Member | None:
        """Give one of those who are in a group, by `Member.id`; `None` if they are not in it.

        Raises:
            NoPresenceError: As `presence`.
        """
        return self.roster.member(group, member_id)

    def presence_count(self, group: str) -> int:
        """Give how many connections are in a group, over all nodes.

        Raises:
            NoPresenceError: If gateway.yaml says neither `presence: true` of the group nor `presence: count`.
        """
        return self.roster.connections(group)

    def connections(self) -> tuple[Connection, ...]:
        """Give all open connections of this node."""
        return self.hub.connections

    def disconnect(self, selection: Selection, code: int = 1000, reason: str = "") -> int:
        """Close connections, on every node.

        Args:
            selection: Which ones; the closing handshakes begin at once.
            code: 1000, or one of 3000 to 4999 for reasons of your own.
            reason: A short text; cut at 123 bytes of UTF-8.

        Returns:
            How many connections of this node are closed.

        Raises:
            ValueError: If the code must not be sent (RFC 6455 section 7.4).
        """
        if not may_be_sent(code):
            raise ValueError(f"close code {code} must not be sent")
        return self.orders.disconnect(selection, code, reason)

    def after(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function once, in so many seconds, unless the node stops before."""
        return self._owned.after(seconds, callback, args)

    def every(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function every so many seconds until the node stops."""
        return self._owned.every(seconds, callback, args)

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it is cancelled when the node stops."""
        return self._owned.start_task(coroutine, name=name)

    def run_in_thread(
        self, function: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> asyncio.Future[Result]:
        """Call a function that blocks in a thread, so that the event loop goes on; `await` what it gives.

        Each plugin has threads of its own, at most `max_threads`; further calls wait for one. The function
        sees the caller's context variables. It must not touch connections: it gives its result, or uses
        `node.loop.call_soon_threadsafe`. If the wait for it is cancelled, the thread goes on to its end.

        Args:
            function: What is called.
            args: Its arguments.
            kwargs: Those with names.
        """
        return self.run_in_thread_of(sys._getframe(1), function, *args, **kwargs)  # noqa: SLF001 - the caller's

    def run_in_thread_of(
        self, frame: FrameType, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> asyncio.Future[Result]:
        """As `run_in_thread`, in a thread of the plugin whose code is at a frame. The gateway's own."""
        owners = self.guards.owners
        plugin = owners.place(frame).plugin or owners.plugin_of(getattr(function, "__module__", None) or "")
        return self.guards.of(plugin).threads.run(function, *args, **kwargs)

    def now(self) -> float:
        """Give the time in seconds since the epoch."""
        return self.clock.now()
