"""The seam to nats-py: all that knows its insides is here, and it is pinned to a minor version.

Used as it is meant to be, nats-py takes a task and a queue for each subscription (4.8 KB, here 0.3) and 5 µs
for each message that arrives (here 2.8), throws away what does not fit into such a queue, connects again by
itself, and waits at its end for a server that may never answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from nats.aio.client import Client
from nats.protocol import command

from gateway.broker.cutting import send_nothing_after_the_end
from gateway.broker.link import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.broker.link import Receive
    from gateway.broker.nats.places import Places

__all__ = ["NatsClient", "Take"]

Take: TypeAlias = Callable[[bytes, bytes | None], bool]
"""Take an answer, content and header; tell whether there is more to come."""

_MOST_EXPECTED: Final = 16_384
"""Answers that are waited for; above it, the oldest questions will not get one any more."""


class NatsClient(Client):
    """A client for one connection, which hands over what arrives at once, in order, and all of it.

    Args:
        receive: Gets subject and content of what arrives for `listen`.
        places: Reads the header of what JetStream has kept.
        secure: Whether the server has to speak TLS.
    """

    def __init__(self, receive: Receive, places: Places, *, secure: bool) -> None:
        super().__init__()
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Gets the reason when the connection ends by itself."""
        self._receive = receive
        self._places = places
        self._secure = secure
        self._sids: dict[str, int] = {}
        self._subjects: dict[int, str] = {}
        self._inbox = ""
        self._inbox_sid = 0
        self._numbers = count()
        self._expected: dict[bytes, Take] = {}

    # Connecting: one server, one try.

    async def open(self, url: str, **options: Any) -> None:
        """Connect and log in; `options` are those of `Client.connect`.

        Raises:
            LinkError: If the server is not what it should be.
            OSError: If it cannot be reached; nats-py has errors of its own, too.
        """
        await self.connect(url, error_cb=_raised_anyway, allow_reconnect=False, **options)
        if not self.is_connected:
            raise LinkError("the server does not answer as it should")
        for writer in self._writers():
            send_nothing_after_the_end(writer.transport)
        assert self._reading_task is not None  # noqa: S101 - it is connected
        self._reading_task.add_done_callback(lambda _: self._end(LinkError("reading has ended")))

    async def _select_next_server(self) -> None:
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    def _connect_command(self) -> bytes:
        # The last step before credentials are sent. nats-py goes on in the clear if the server, or whoever
        # speaks in its place, does not ask for TLS.
        if self._secure and not self._server_info.get("tls_required"):
            raise LinkError("the server does not ask for tls")
        return super()._connect_command()

    # Ending: the owner is told, and makes another client.

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    async def _process_op_err(self, e: Exception) -> None:
        self._end(e)

    async def _process_err(self, err_msg: str) -> None:
        # Some of these leave the connection open, without a subscription that the server did not grant.
        self._end(LinkError(f"the server says {err_msg}"))

    def abort(self) -> None:
        """End at once: no task and no socket stays behind."""
        self._status = Client.CLOSED
        self._end(LinkError("aborted"))
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        for subscription in self._subs.values():
            subscription._stop_processing()  # noqa: SLF001
        for writer in self._writers():
            writer.transport.abort()

    def _writers(self) -> list[asyncio.StreamWriter]:
        # The second one is what lies under TLS.
        found = (getattr(self._transport, writer, None) for writer in ("_io_writer", "_bare_io_writer"))
        return [writer for writer in found if writer is not None]

    # Receiving: without a queue and a task for each subscription.

    def listen(self, subjects: Iterable[str]) -> None:
        """Ask for the messages of subjects."""
        lines = []
        for subject in subjects:
            if subject not in self._sids:
                self._sid += 1
                self._sids[subject] = self._sid
                self._subjects[self._sid] = subject
                lines.append(command.sub_cmd(subject, "", self._sid))
        self.write(lines)

    def unlisten(self, subjects: Iterable[str]) -> None:
        """Ask for them no more."""
        lines = []
        for subject in subjects:
            sid = self._sids.pop(subject, None)
            if sid is not None:
                del self._subjects[sid]
                lines.append(command.unsub_cmd(sid, 0))
        self.write(lines)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        listened = self._subjects.get(sid)
        if listened is not None:
            if headers is None:
                self._receive(listened, data)
            else:
                self._receive(listened, data, self._places.of(headers))
        elif sid == self._inbox_sid:
            number = subject[len(self._inbox) :]
            take = self._expected.pop(number, None)
            if take is not None and take(data, headers):
                self._expected[number] = take
        else:
            await super()._process_msg(sid, subject, reply, data, headers or b"")

    # Sending: straight to the socket, which says when it has enough.

    async def send(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish messages in order; wait while the socket has enough."""
        self.write([command.pub_cmd(subject, "", data) for subject, data in messages])
        await self.drain_socket()

    async def drain_socket(self) -> None:
        """Wait while the socket has enough."""
        assert self._transport is not None  # noqa: S101 - it is open
        await self._transport.drain()  # type: ignore[no-untyped-call]

    def write(self, lines: list[bytes]) -> None:
        """Write without a wait."""
        assert self._transport is not None  # noqa: S101 - it is open
        if lines:
            self._transport.writelines(lines)

    # Asking: one subscription for all answers, which nats-py has as well, with a task and objects for each.

    def expect(self, take: Take) -> str:
        """Give the subject for the answer to a question, and have the answer taken."""
        if not self._inbox:
            self._inbox = f"{self._inbox_prefix.decode()}.{self._nuid.next().decode()}."
            self._sid += 1
            self._inbox_sid = self._sid
            self.write([command.sub_cmd(f"{self._inbox}*", "", self._sid)])
        number = b"%d" % next(self._numbers)
        self._expected[number] = take
        if len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]
        return self._inbox + number.decode()

    async def ask(
        self, subject: str, data: bytes, more: Callable[[bytes | None], bool] = lambda _: False
    ) -> list[tuple[bytes, bytes | None]]:
        """Ask, and wait for the answer: content and header of each of its messages.

        Args:
            subject: Where the question goes.
            data: The question.
            more: Tells by the header of a message whether another follows.

        Raises:
            LinkError: If the connection ends.
        """
        answers: list[tuple[bytes, bytes | None]] = []
        complete = asyncio.get_running_loop().create_future()
        take = partial(_collect, answers, complete, more)
        self.write([command.pub_cmd(subject, self.expect(take), data)])
        await asyncio.wait({complete, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not complete.done():
            raise LinkError("the link has ended")
        return answers


def _collect(
    answers: list[tuple[bytes, bytes | None]],
    complete: asyncio.Future[None],
    more: Callable[[bytes | None], bool],
    data: bytes,
    header: bytes | None,
) -> bool:
    answers.append((data, header))
    if more(header):
        return True
    if not complete.done():
        complete.set_result(None)
    return False


async def _raised_anyway(_: Exception) -> None:
    """Take no notice of an error that `connect` raises besides."""
