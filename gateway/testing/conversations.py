"""Nasty conversations: what clients do to a handler, by mistake, by misfortune or on purpose."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.testing.client import Client

__all__ = ["CONVERSATIONS", "Stage"]

_MANY: Final = 20
_BURST: Final = 50
_FLOOD: Final = 200
_DEEP: Final = 10_000
_MASK: Final = b"\x2a\x2b\x2c\x2d"
_SMALL: Final = 126
_SHORT: Final = 65_536

JUNK: Final = (
    "", " ", "\0", "hello", "{", "}", "[]", "{}", "null", "true", "0", "-1", "1e999", "NaN", '"text"',
    '{"type": null}', '{"type": 7}', '{"type": ["x"]}', '{"type": {"x": 1}}', '{"type": ""}', '[{"type": 1}]',
    '{"type": "\\ud800"}', '{"type": "x", "type": "y"}', '{"": ""}', "[" * _DEEP, '{"a":' * _DEEP,
    "[" * _DEEP + "]" * _DEEP, "9" * _DEEP, "é" * 100, "\u202e\u200b\ufeff", "🌍" * 50, "'; --",
    "<b>&amp;</b>", "${HOME} %s {0} {name}", "\r\n\r\n", "../../etc/passwd",
)  # fmt: skip


class Stage:
    """What a conversation has to do with.

    Args:
        connect: Connects a client.
        messages: Messages that the handler takes, by the word of its author.
        max_message_bytes: The route's limit.
        failures: Gives how many events have failed up to now.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]],
        messages: Sequence[str | bytes],
        max_message_bytes: int,
        failures: Callable[[], int],
    ) -> None:
        self._connect = connect
        self.messages = tuple(messages)
        self.max_message_bytes = max_message_bytes
        self.clients: list[Client] = []
        self._failures = failures
        self._said: list[tuple[int, str | bytes]] = []

    async def client(self) -> Client:
        """Connect one more client."""
        client = await self._connect()
        self.clients.append(client)
        return client

    def note(self, message: str | bytes) -> None:
        """Note which message comes next, for the report."""
        self._said.append((self._failures(), message))

    def said_before(self, failure: int) -> str | bytes | None:
        """Give the message that was sent last before a failure, by its number; `None` if none was noted."""
        return next((message for count, message in reversed(self._said) if count <= failure), None)

    @property
    def sample(self) -> str | bytes:
        """A message that the handler takes; any, if its author has named none."""
        return self.messages[0] if self.messages else "hello"


async def _send(client: Client, *messages: str | bytes) -> None:
    """Send messages, as far as the connection lives: a handler may end it at any of them."""
    with suppress(ConnectionClosed):
        for message in messages:
            await client.send(message)


async def _each_alone(stage: Stage, messages: Sequence[str | bytes]) -> None:
    """Send each message once the gateway has read the one before, on a new connection where one ended."""
    client = await stage.client()
    for message in messages:
        stage.note(message)
        await _send(client, message)
        try:
            await client.arrive()
        except AssertionError:
            client = await stage.client()
    await client.close()


async def opens_and_closes(stage: Stage) -> None:
    """A client opens, says nothing, and closes."""
    await (await stage.client()).close()


async def opens_and_drops(stage: Stage) -> None:
    """A client opens, says nothing, and its TCP connection is gone."""
    (await stage.client()).drop()


async def one_message_and_drop(stage: Stage) -> None:
    """A client sends one message and is gone before the answer."""
    client = await stage.client()
    await _send(client, stage.sample)
    client.drop()


async def good_messages(stage: Stage) -> None:
    """A client sends what the handler's author has named, in order."""
    await _each_alone(stage, stage.messages or (stage.sample,))


async def good_messages_cut_and_bent(stage: Stage) -> None:
    """A client sends what the author has named: cut off, twice in one, backwards, as the other type."""
    bent: list[str | bytes] = []
    for message in stage.messages or (stage.sample,):
        half = len(message) // 2
        bent += (message[:half], message[half:], message * 2, message[::-1])
        bent.append(message.encode() if isinstance(message, str) else message.decode("latin-1"))
    await _each_alone(stage, bent)


async def empty_messages(stage: Stage) -> None:
    """A client sends an empty text and an empty binary message."""
    await _each_alone(stage, ("", b""))


async def junk_text(stage: Stage) -> None:
    """A client sends texts that are no JSON, not the JSON that is wanted, deep, long or odd."""
    await _each_alone(stage, JUNK)


async def junk_binary(stage: Stage) -> None:
    """A client sends binary messages: no UTF-8, the head of some file, JSON as bytes."""
    await _each_alone(stage, (b"\0", b"\xff\xfe", bytes(range(256)), b"\x80\x04\x95.", b'{"type": 1}', b"{"))


async def longest_text(stage: Stage) -> None:
    """A client sends a text of exactly as many bytes as the route takes."""
    await _each_alone(stage, ("x" * stage.max_message_bytes,))


async def longest_binary(stage: Stage) -> None:
    """A client sends a binary message of exactly as many bytes as the route takes."""
    await _each_alone(stage, (bytes(stage.max_message_bytes),))


async def too_long(stage: Stage) -> None:
    """A client sends a message that is one byte longer than the route takes."""
    client = await stage.client()
    await _send(client, "x" * (stage.max_message_bytes + 1))
    await client.expect_close()


async def many_messages_at_once(stage: Stage) -> None:
    """A client sends many messages without waiting for an answer."""
    client = await stage.client()
    await _send(client, *(stage.messages or (stage.sample,)) * _BURST)
    await client.close()


async def many_messages_and_drop(stage: Stage) -> None:
    """A client sends many messages and is gone while they are worked on."""
    client = await stage.client()
    await _send(client, *(stage.messages or (stage.sample,)) * _BURST)
    client.drop()


async def many_clients_at_once(stage: Stage) -> None:
    """Many clients come at once, each says something, half of them close, the others drop."""
    clients = await asyncio.gather(*(stage.client() for _ in range(_MANY)))
    await asyncio.gather(*(_send(client, stage.sample) for client in clients))
    for client in clients[::2]:
        client.drop()
    await asyncio.gather(*(client.close() for client in clients[1::2]))


async def fragments(stage: Stage) -> None:
    """A client sends a message a character a frame, with empty frames and pings between."""
    client = await stage.client()
    with suppress(ConnectionClosed):
        # websockets puts a ping between the frames of a message only when it is told to.
        client.send_raw(_frame(0x1, b"", final=False))
        for byte in b"fragment":
            client.send_raw(_frame(0x0, bytes([byte]), final=False) + _frame(0x9, b"?"))
            client.send_raw(_frame(0x0, b"", final=False))
        client.send_raw(_frame(0x0, b""))
        await client.socket.close()


async def close_in_the_middle_of_a_message(stage: Stage) -> None:
    """A client closes after the first fragment of a message."""
    client = await stage.client()
    client.send_raw(_frame(0x1, b"half", final=False))
    await client.close()


async def drop_in_the_middle_of_a_frame(stage: Stage) -> None:
    """A client is gone in the middle of a frame."""
    client = await stage.client()
    client.send_raw(_frame(0x1, b"a whole message")[:9])
    client.drop()


async def message_after_close(stage: Stage) -> None:
    """A client sends a message behind its own close frame."""
    client = await stage.client()
    client.send_raw(_frame(0x8, struct.pack("!H", 1000)) + _frame(0x1, b"too late"))
    await client.expect_close()


async def text_that_is_no_utf8(stage: Stage) -> None:
    """A client sends a text that is not UTF-8."""
    client = await stage.client()
    client.send_raw(_frame(0x1, b"\xc3\x28"))
    await client.expect_close()


async def frame_that_breaks_the_protocol(stage: Stage) -> None:
    """A client sends a frame that is not masked."""
    client = await stage.client()
    client.send_raw(b"\x81\x05hello")
    await client.expect_close()


async def slow_reader(stage: Stage) -> None:
    """A client sends and sends, and reads nothing of what it is answered."""
    client = await stage.client()
    client.stop_reading()
    with suppress(TimeoutError):  # the gateway may cease to read from a client that does not
        async with asyncio.timeout(1):
            await _send(client, *(stage.messages or (stage.sample,)) * _FLOOD)
    client.drop()


async def half_open(stage: Stage) -> None:
    """A client says it has nothing more to send, by TCP alone, and goes on listening."""
    client = await stage.client()
    await _send(client, stage.sample)
    client.socket.transport.write_eof()


async def never_answers_the_close(stage: Stage) -> None:
    """A client is closed by the gateway, and neither answers nor reads."""
    client = await stage.client()
    client.stop_reading()
    client.send_raw(b"\x81\x05hello")


async def goes_at_once_with_others(stage: Stage) -> None:
    """Many clients that know each other are gone in the same moment."""
    clients = [await stage.client() for _ in range(_MANY)]
    await _send(clients[0], *stage.messages or (stage.sample,))
    for client in clients:
        client.drop()


def _frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Give a masked frame (RFC 6455 section 5.2)."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < _SMALL:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < _SHORT:
        head += struct.pack("!BH", 0xFE, len(payload))
    else:
        head += struct.pack("!BQ", 0xFF, len(payload))
    return head + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


CONVERSATIONS: Final[Mapping[str, Callable[[Stage], Awaitable[None]]]] = {
    conversation.__name__.replace("_", " "): conversation
    for conversation in (
        opens_and_closes,
        opens_and_drops,
        one_message_and_drop,
        good_messages,
        good_messages_cut_and_bent,
        empty_messages,
        junk_text,
        junk_binary,
        longest_text,
        longest_binary,
        too_long,
        many_messages_at_once,
        many_messages_and_drop,
        many_clients_at_once,
        fragments,
        close_in_the_middle_of_a_message,
        drop_in_the_middle_of_a_frame,
        message_after_close,
        text_that_is_no_utf8,
        frame_that_breaks_the_protocol,
        slow_reader,
        half_open,
        never_answers_the_close,
        goes_at_once_with_others,
    )
}
"""Each conversation by its name, in the order in which a handler is taken through them."""
