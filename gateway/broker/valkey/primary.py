"""What is said to one primary of Valkey: all but what is listened to."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from valkey.exceptions import NoPermissionError, ResponseError

from gateway.broker.contract import BrokerUnavailableError
from gateway.broker.link import LinkError
from gateway.broker.valkey.connection import ValkeyConnection
from gateway.broker.valkey.history import ValkeyHistory

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Answered, Found, Keep
    from gateway.broker.valkey.connection import Address
    from gateway.broker.valkey.ending import Ending
    from gateway.broker.valkey.former import FormerLinks
    from gateway.config import ValkeyBrokerConfig

__all__ = ["MovedError", "Primary"]

_CLUSTER_UNKNOWN: Final = "the server is one of a cluster, and does not say so to this user: it needs `+info`"


class MovedError(BrokerUnavailableError):
    """Something that a server has not done, since another one of its cluster has the key."""

    def __init__(self) -> None:
        super().__init__("another server of the cluster has the slot")


class Primary:
    """A connection to a primary, whose answers come in the order of the commands.

    A replica is refused, also when the server becomes one later: what is published there stays there.

    Args:
        config: The settings.
        address: Where the server is.
        context: TLS; `None`: none.
        former: The node's former connections.
        ending: The end of the link.
        where: How the server is named in errors; empty where that is clear.
    """

    def __init__(
        self,
        config: ValkeyBrokerConfig,
        address: Address,
        context: ssl.SSLContext | None,
        former: FormerLinks,
        ending: Ending,
        where: str = "",
    ) -> None:
        self.address = address
        self.where = where
        self.history = ValkeyHistory(config)
        self.is_in_cluster = False
        """Whether it may be one of several with a part of the keys each; known once it is open."""
        self.moved: Callable[[Primary], None] | None = None
        """Called when the server says that another one has a key; `None`: nobody knows of others."""
        self._interval = config.probe_interval_seconds
        self._former = former
        self._ending = ending
        self._connection = ValkeyConnection(config, address, context)
        self._answers: deque[asyncio.Future[Any] | Callable[[Any], None] | None] = deque()
        ending.then(self._let_go)

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            LinkError: If that fails, or the server is a replica.
        """
        await self._connection.open()
        self._ending.start(self._read_answers, self.where)
        await self._check_role()
        facts = await self._facts()
        self.is_in_cluster = b"cluster_enabled:1" in facts
        run = self.history.learn(facts)
        if run:
            await self._end_former(run)
        self._ending.start(self._watch_role, self.where)

    async def _facts(self) -> bytes:
        try:
            facts: bytes = await self.ask(("INFO",))
        except NoPermissionError:
            return b""
        return facts

    async def _end_former(self, run: bytes) -> None:
        """Have the server read nothing more from former links, if this user may ask for that."""
        with suppress(ResponseError):
            for number in self._former.at(run):
                await self.ask(("CLIENT", "KILL", "ID", number))
                self._former.discard(run, number)
            self._former.add(run, await self.ask(("CLIENT", "ID")))

    async def _check_role(self) -> None:
        role = (await self.ask(("ROLE",)))[0]
        if role != b"master":
            raise LinkError("the server is a replica")

    async def _watch_role(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._check_role()

    # Commands.

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish messages; they are written before this waits for the first time."""
        self._ending.check()
        self._answers.extend([None] * len(messages))
        await self._connection.write([("PUBLISH", channel, data) for channel, data in messages])

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Have a script keep each message and publish it; as `Link.keep`."""
        self._ending.check()
        try:
            commands = self.history.keep(messages)
        except BrokerUnavailableError as exc:
            for message in messages:
                answered(message, exc)
            return
        self._answers.extend(partial(self._read_kept, message, answered) for message in messages)
        await self._connection.write(commands)

    def _read_kept(self, message: Keep, answered: Answered, value: Any) -> None:
        if isinstance(value, ResponseError):
            answered(message, self._refusal(value))
        elif message.position_wanted:
            answered(message, self.history.read_kept(value))
        else:
            answered(message, None)

    async def read(self, channel: str, policy: HistoryPolicy, since: int | None, limit: int) -> Found:
        """Have a script read what is kept.

        Raises:
            BrokerUnavailableError: If the server refuses.
        """
        command = self.history.read(channel, policy, since, limit)
        try:
            return self.history.read_found(await self.ask(command))
        except ResponseError as exc:
            raise self._refusal(exc) from None

    async def claim(self, key: str, milliseconds: int) -> bool:
        """Set a key where there is none; the server removes it.

        Raises:
            BrokerUnavailableError: If the server refuses.
        """
        try:
            return await self.ask(("SET", key, b"", "NX", "PX", milliseconds)) is not None
        except ResponseError as exc:
            raise self._refusal(exc) from None

    def _refusal(self, error: ResponseError) -> BrokerUnavailableError:
        text = str(error)
        if text.startswith("MOVED "):
            if self.moved is None:
                return BrokerUnavailableError(_CLUSTER_UNKNOWN)
            self.moved(self)
            return MovedError()
        if text.startswith(("ASK ", "TRYAGAIN ")):
            return BrokerUnavailableError("the slot is on its way to another server of the cluster")
        return BrokerUnavailableError(f"the server says {text}")

    async def ask(self, command: tuple[str | bytes | int, ...]) -> Any:
        """Send a command, and wait for its answer.

        Raises:
            LinkError: If the link ends first.
            ResponseError: If the server refuses.
        """
        self._ending.check()
        answer = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        await self._connection.write([command])
        await asyncio.wait({answer})
        if answer.cancelled():
            raise LinkError("the link has ended")
        value = answer.result()
        if isinstance(value, ResponseError):
            raise value
        return value

    async def _read_answers(self) -> None:
        while True:
            value: Any
            try:
                value = await self._connection.read()
            except ResponseError as exc:
                value = exc
            answer = self._answers.popleft()
            if isinstance(answer, asyncio.Future):
                answer.set_result(value)
            elif answer is not None:
                answer(value)
            elif isinstance(value, ResponseError):
                raise LinkError(f"the server says {value}")

    # Ending.

    async def settle(self) -> None:
        """Wait until the server has answered everything that was sent before."""
        if self._answers:
            await self._check_role()  # whose answer comes last

    def _let_go(self) -> None:
        while self._answers:
            answer = self._answers.popleft()
            if isinstance(answer, asyncio.Future):
                answer.cancel()

    def abort(self) -> None:
        """End the connection at once; the link has ended."""
        self._connection.abort()
