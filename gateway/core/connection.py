"""A connection, as handlers see it: one open WebSocket after a successful opening handshake."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.core.ends import HANDLER
from gateway.core.established_connection import EstablishedConnection, State
from gateway.protocol.close_codes import may_be_sent
from gateway.protocol.encoding import SHORT, SHORT_TEXT_HEADERS, encode_message
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from gateway.core.identity import Identity
    from gateway.core.owned import Timer

__all__ = ["Connection"]

Result = TypeVar("Result")

# A member of an enumeration costs 60 ns more to look up in Python 3.11 than a name of the module.
_OPEN: Final = State.OPEN


class Connection(EstablishedConnection):
    """One open WebSocket. Its methods are called on the event loop, and none of them waits.

    What is sent to a connection that has ended goes nowhere, without an error.
    """

    __slots__ = ()

    def send(self, message: str | bytes | bytearray | memoryview) -> Awaitable[None]:
        """Send a message: `str` as text, anything else as binary. It leaves at the end of this loop turn.

        The call never waits. Whoever sends a lot may await its result: that waits until the peer has read
        enough for more to be sent, so that a file or a stream does not fill the send queue. If the
        connection ends meanwhile, the wait ends too, without an error.

        Raises:
            UnicodeEncodeError: If the text holds a lone surrogate.
            TypeError: If it is neither text nor bytes.
        """
        if self._state is _OPEN:
            if self.compression is not None:
                frame = self.compression.encode(message)
            elif type(message) is str and len(payload := message.encode()) < SHORT:
                # encode_message, written out for the usual message: the call would cost 3 percent of an echo.
                frame = SHORT_TEXT_HEADERS[len(payload)] + payload
            else:
                frame = encode_message(message)
            # SendQueue.enqueue, written out: the call would cost a tenth of an echo.
            queue = self._queue
            if queue is None:
                self._queue = [frame]
                self.node.flusher.add(self)
            else:
                if type(queue) is not list:
                    queue = self.own_queue()
                queue.append(frame)
            queued = self._queued_bytes = self._queued_bytes + len(frame)
            if queued > self._relief_bytes:
                self.relieve()
        return self

    def send_json(self, value: object) -> Awaitable[None]:
        """Send a value as JSON text; otherwise as `send`.

        Raises:
            TypeError: If JSON cannot carry it.
            ValueError: If it holds a number that JSON has no form for.
        """
        return self.send(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; nothing happens if it has begun already.

        Args:
            code: 1000, or one of 3000 to 4999 for reasons of your own; others are the protocol's.
            reason: A short text; cut at 123 bytes of UTF-8.

        Raises:
            ValueError: If the code must not be sent (RFC 6455 section 7.4).
        """
        if not may_be_sent(code):
            raise ValueError(f"close code {code} must not be sent")
        self.begin_close(code, reason, by=HANDLER)

    def join(self, group: str) -> None:
        """Join a group; nothing changes if the connection is a member, or has ended.

        Raises:
            ValueError: If the name is empty or begins with `$`.
        """
        _check_group(group)
        if self._state is State.OPEN:
            self.node.hub.join(self, group)

    def leave(self, group: str) -> None:
        """Leave a group; nothing changes if the connection is no member.

        Raises:
            ValueError: If the name is empty or begins with `$`.
        """
        _check_group(group)
        self.node.hub.leave(self, group)

    def describe(self, group: str, details: Mapping[str, Any]) -> None:
        """Say something of the member of a group that this connection counts as, for all nodes to know.

        It replaces what was said before, by whichever connection of the user, and is `Member.details` then.
        It holds until the member leaves.

        Args:
            group: The group's name; the connection is in it.
            details: Plain data as JSON has it, of at most 1,024 bytes.

        Raises:
            NoPresenceError: If gateway.yaml does not say `presence: true` of the group.
            ValueError: If the connection is not in the group, or the details are too long or no plain data.
        """
        self.node.roster.describe(self, group, details)

    def publish(
        self, group: str, message: str | bytes, *, include_sender: bool = True, key: str | None = None
    ) -> int:
        """Publish a message to a group, on every node.

        Args:
            group: Its name. The connection need not be a member.
            message: `str` for text, `bytes` for binary.
            include_sender: Whether this connection gets it too, if it is a member.
            key: What the message is the newest state of. Under the overflow policy `conflate` a slow
                member gets only the newest of each key; `None` stands for the whole group.

        Returns:
            How many connections of this node it was handed to.
        """
        return self.node.publish(group, message, exclude=None if include_sender else self, key=key)

    def publish_to_user(self, user: str, message: str | bytes, *, include_sender: bool = True) -> int:
        """Publish a message to all connections of a user, on every node; otherwise as `publish`."""
        return self.node.publish_to_user(user, message, exclude=None if include_sender else self)

    def publish_to_everyone(self, message: str | bytes, *, include_sender: bool = True) -> int:
        """Publish a message to every connection on every node; otherwise as `publish`."""
        return self.node.publish_to_everyone(message, exclude=None if include_sender else self)

    async def refresh(self, token: str) -> Identity:
        """Renew the identity with a newer token, so that the connection outlives the one that opened it.

        The token is judged as in an opening handshake, by the route's ways and the admission hooks. The
        connection leaves the groups that only the former identity named, and joins those that only the new
        one names.

        Args:
            token: The token, as the client would send it behind `Bearer`.

        Returns:
            The new identity.

        Raises:
            Refused: If the token is not good, or proves another user. The connection stays as it is.
        """
        if self.node.renew is None:
            raise refuse("unauthorized", "no way to renew an identity")
        identity = await self.node.renew(self, token)
        former = self.identity
        if former is not None and self._state is State.OPEN:
            self.identity = identity
            self.node.expiries.renew(self, former)
            self._change_groups(former, identity)
            self.node.roster.renew(self)
        return identity

    def _change_groups(self, former: Identity, identity: Identity) -> None:
        # What both name stays as the handlers have left it.
        before = dict.fromkeys(self._route.groups(self.params, former))
        now = dict.fromkeys(self._route.groups(self.params, identity))
        for name in before:
            if name not in now:
                self.node.hub.leave(self, name)
        for name in now:
            if name not in before:
                self.node.hub.join(self, name)

    def after(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function once, in so many seconds, unless the connection ends before."""
        return self._owner().after(seconds, callback, args)

    def every(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call a plain or `async` function every so many seconds until the connection ends."""
        return self._owner().every(seconds, callback, args)

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it is cancelled when the connection ends."""
        return self._owner().start_task(coroutine, name=name)

    def run_in_thread(
        self, function: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> asyncio.Future[Result]:
        """Call a function that blocks in a thread of the calling plugin; as `Node.run_in_thread`."""
        return self.node.run_in_thread_of(sys._getframe(1), function, *args, **kwargs)  # noqa: SLF001 - the caller's


def _check_group(name: str) -> None:
    if not name or name.startswith("$"):
        raise ValueError(f"not a group name: {name!r}")
