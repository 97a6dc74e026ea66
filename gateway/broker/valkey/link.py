"""One link to a Valkey server."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from valkey.exceptions import NoPermissionError, ResponseError

from gateway.broker.contract import BrokerUnavailableError
from gateway.broker.link import LinkError
from gateway.broker.tls import client_context
from gateway.broker.valkey.connection import ValkeyConnection
from gateway.broker.valkey.former import FormerLinks
from gateway.broker.valkey.history import ValkeyHistory, read_place

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Answered, Found, Keep, Receive
    from gateway.config import ValkeyBrokerConfig

__all__ = ["ValkeyLink"]

_CHANNELS: Final = 1000
"""Channels that one command names: a server works through it in one go, and takes a million at most."""

_IN_CLUSTER: Final = "the server is one of a valkey cluster, which the gateway does not support"


class ValkeyLink:
    """Two connections to one Valkey server: what arrives comes through one, all else goes through the other.

    A node that reads too slowly is cut off by the server (`client-output-buffer-limit pubsub`); none of its
    messages is left out before that, since they are handed over as they are read.

    A replica is refused, also when the server becomes one later: what is published there stays there. So is
    one of several servers of a cluster, which keeps only some of the keys.

    Args:
        config: The settings.
        url: The server's.
        receive: Gets what arrives.
        former: The node's former links. The default, `None`: there are none.
    """

    def __init__(
        self, config: ValkeyBrokerConfig, url: str, receive: Receive, former: FormerLinks | None = None
    ) -> None:
        self._config = config
        self._former = former or FormerLinks()
        self._url = url
        self._receive = receive
        self._listening: ValkeyConnection | None = None
        self._commands: ValkeyConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._history = ValkeyHistory(config)
        self._answers: deque[asyncio.Future[Any] | Callable[[Any], None] | None] = deque()
        self._asked = 0
        self._granted = 0
        self._grant = asyncio.Event()
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.most_bytes = config.max_message_bytes  # the server's own limit is above any that may be set

    async def open(self) -> None:
        """Connect and log in, twice. Certificates are read anew for each link.

        Raises:
            LinkError: If that fails, or the server is a replica.
        """
        config = self._config
        context = await asyncio.to_thread(client_context, config.tls) if config.secure else None
        self._commands = ValkeyConnection(config, self._url, context)
        self._listening = ValkeyConnection(config, self._url, context)
        await self._commands.open()
        await self._listening.open()
        self._start(partial(self._read_answers, self._commands))
        self._start(partial(self._read_messages, self._listening))
        await self._check_role()
        facts = await self._facts()
        if b"cluster_enabled:1" in facts:
            await self._check_alone()
        run = self._history.learn(facts)
        if run:
            await self._end_former(run)
        self._start(self._watch_role)

    async def _facts(self) -> bytes:
        try:
            facts: bytes = await self._ask(("INFO",))
        except NoPermissionError:
            return b""
        return facts

    async def _check_alone(self) -> None:
        """See that the server is not one of several with parts of the keys.

        Raises:
            LinkError: If it is, or if this user may not ask.
        """
        try:
            alone = b"cluster_size:1\r" in await self._ask(("CLUSTER", "INFO"))
        except ResponseError:
            alone = False
        if not alone:
            raise LinkError(_IN_CLUSTER)

    async def _end_former(self, run: bytes) -> None:
        """Have the server read nothing more from former links, if this user may ask for that."""
        with suppress(ResponseError):
            for number in self._former.at(run):
                await self._ask(("CLIENT", "KILL", "ID", number))
                self._former.discard(run, number)
            self._former.add(run, await self._ask(("CLIENT", "ID")))

    def _start(self, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(self._until_the_end(read), name="broker valkey"))

    async def _until_the_end(self, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await read()
        except Exception as exc:  # noqa: BLE001 - whatever the library raises: the link is over
            self._end(exc)
        finally:
            self._end(LinkError("reading has ended"))

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
        self._grant.set()
        while self._answers:
            answer = self._answers.popleft()
            if isinstance(answer, asyncio.Future):
                answer.cancel()

    # Receiving.

    async def _read_messages(self, connection: ValkeyConnection) -> None:
        while True:
            kind, channel, data = await connection.read()
            if kind == b"message":
                place, data = read_place(data)
                self._receive(channel.decode(errors="replace"), data, place)
            elif kind == b"subscribe":
                self._granted += 1
                if self._granted == self._asked:
                    self._grant.set()

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Ask for channels, and wait until the server has taken it: what is sent goes another way.

        Raises:
            LinkError: If the link ends meanwhile.
        """
        if not channels:
            return
        self._asked += len(channels)
        self._grant.clear()
        await self._open(self._listening).write(_commands("SUBSCRIBE", channels))
        if self._granted < self._asked:
            await self._grant.wait()
        if self.ended.done():
            raise LinkError("the link has ended")

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Leave channels."""
        if channels:
            await self._open(self._listening).write(_commands("UNSUBSCRIBE", channels))

    # Sending.

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish messages."""
        commands = self._open(self._commands)
        self._answers.extend([None] * len(messages))
        await commands.write([("PUBLISH", channel, data) for channel, data in messages])

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Have a script keep each message and publish it."""
        commands = self._open(self._commands)
        try:
            written = self._history.keep(messages)
        except BrokerUnavailableError as exc:
            for message in messages:
                answered(message, exc)
            return
        self._answers.extend(partial(self._read_kept, message, answered) for message in messages)
        await commands.write(written)

    def _read_kept(self, message: Keep, answered: Answered, value: Any) -> None:
        if isinstance(value, ResponseError):
            answered(message, _refusal(value))
        elif message.position_wanted:
            answered(message, self._history.read_kept(value))
        else:
            answered(message, None)

    async def history(
        self,
        group: str,  # noqa: ARG002 - the channel says it
        channel: str,
        policy: HistoryPolicy,
        since: int | None,
        limit: int,
    ) -> Found:
        """Have a script read what is kept.

        Raises:
            BrokerUnavailableError: If the server refuses.
        """
        try:
            return self._history.read_found(
                await self._ask(self._history.read(channel, policy, since, limit))
            )
        except ResponseError as exc:
            raise _refusal(exc) from None

    async def claim(self, key: str, seconds: float) -> bool:
        """Set a key where there is none; the server removes it."""
        # Any text may be a key, and none should be read in the server's lists.
        name = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        milliseconds = max(1, math.ceil(seconds * 1000))
        command = ("SET", f"{self._config.prefix}.claim.{name}", b"", "NX", "PX", milliseconds)
        return await self._ask(command) is not None

    async def _check_role(self) -> None:
        role = (await self._ask(("ROLE",)))[0]
        if role != b"master":
            raise LinkError("the server is a replica")

    async def _watch_role(self) -> None:
        while True:
            await asyncio.sleep(self._config.probe_interval_seconds)
            await self._check_role()

    async def _ask(self, command: tuple[str | bytes | int, ...]) -> Any:
        commands = self._open(self._commands)
        answer = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        await commands.write([command])
        return await self._answered(answer)

    async def _answered(self, answer: asyncio.Future[Any]) -> Any:
        await asyncio.wait({answer})
        if answer.cancelled():
            raise LinkError("the link has ended")
        value = answer.result()
        if isinstance(value, ResponseError):
            raise value
        return value

    async def _read_answers(self, connection: ValkeyConnection) -> None:
        while True:
            value: Any
            try:
                value = await connection.read()
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

    def _open(self, connection: ValkeyConnection | None) -> ValkeyConnection:
        if connection is None or self.ended.done():
            raise LinkError("the link has ended")
        return connection

    async def close(self) -> None:
        """Wait until the server has answered everything, and end."""
        if self._answers:
            await self._check_role()  # whose answer comes last
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self._end(LinkError("aborted"))
        for task in self._tasks:
            task.cancel()
        for connection in (self._commands, self._listening):
            if connection is not None:
                connection.abort()


def _commands(command: str, channels: Sequence[str]) -> list[tuple[str, ...]]:
    return [(command, *channels[first : first + _CHANNELS]) for first in range(0, len(channels), _CHANNELS)]


def _refusal(error: ResponseError) -> BrokerUnavailableError:
    if str(error).startswith("MOVED "):  # where the user may not ask for INFO
        return BrokerUnavailableError(_IN_CLUSTER)
    return BrokerUnavailableError(f"the server says {error}")
