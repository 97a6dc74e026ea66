"""History over JetStream: an offset is a message's number in its stream, the epoch is the stream's own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nats.protocol import command

from gateway.broker.contract import BrokerUnavailableError, Kept, Position
from gateway.broker.link import Found, Place
from gateway.broker.nats.places import read_header
from gateway.broker.nats.streams import NO_JETSTREAM, Stream, Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Answered, Keep
    from gateway.broker.nats.claims import NatsClaims
    from gateway.broker.nats.client import NatsClient
    from gateway.broker.nats.places import Places
    from gateway.config import NatsBrokerConfig

__all__ = ["NatsHistory"]

_GOOD: Final = b'{"stream":'
"""How the answer begins to a message that is kept; an error's has another beginning."""

_AT_ONCE: Final = 500
"""Most messages that are read with one question."""

_SPARE: Final = 250
"""Messages that may be read too many, so that the last ones are found with few questions."""

_MESSAGE_NOT_FOUND: Final = 10037
_AGAIN_SECONDS: Final = 0.01


class _ReadAgainError(Exception):
    """A read that has met a change on its way."""


class NatsHistory:
    """What a link does for groups with history.

    Args:
        config: The settings.
        client: The connection.
        claims: Those of the gateway.
        places: Reads where messages are.
    """

    def __init__(
        self, config: NatsBrokerConfig, client: NatsClient, claims: NatsClaims, places: Places
    ) -> None:
        self._client = client
        self._places = places
        self._streams = Streams(config, client, claims, places)
        self._before = len(f"{config.prefix}.group.")

    # Writing.

    async def keep(self, messages: Sequence[Keep], answered: Answered) -> None:
        """Send messages to their streams, all in one write if these are known."""
        lines: list[bytes] = []
        failed: dict[str, BrokerUnavailableError] = {}
        most_bytes = self._client.max_payload
        for message in messages:
            policy = message.policy
            stream = self._streams.known(policy)
            if stream is None:
                if policy.pattern not in failed:
                    self._client.write(lines)
                    lines = []
                    try:
                        stream = await self._streams.of(policy)
                    except BrokerUnavailableError as exc:
                        failed[policy.pattern] = exc
                if stream is None:
                    answered(message, BrokerUnavailableError(failed[policy.pattern].fact))
                    continue
            if len(message.data) > most_bytes:  # it has waited since before this server
                answered(message, BrokerUnavailableError(f"too big for the nats server, limit {most_bytes}"))
                continue
            reply = self._client.expect(partial(self._take_answer, message, stream, answered))
            subject = stream.subjects + message.channel[self._before :]
            if message.idempotency_key is None:
                lines.append(command.pub_cmd(subject, reply, message.data))
            else:
                lines.append(command.hpub_cmd(subject, reply, _id_header(message), message.data))
        self._client.write(lines)
        await self._client.drain_socket()

    def _take_answer(
        self, message: Keep, stream: Stream, answered: Answered, data: bytes, header: bytes | None
    ) -> bool:
        if not message.position_wanted and data.startswith(_GOOD):
            answered(message, None)
        else:
            answered(message, self._read_answer(stream, data, header))
        return False

    def _read_answer(
        self, stream: Stream, data: bytes, header: bytes | None
    ) -> Kept | BrokerUnavailableError:
        if header is not None:  # there is no one who takes such messages
            self._streams.forget(stream)
            return BrokerUnavailableError(NO_JETSTREAM)
        try:
            answer: dict[str, Any] = json.loads(data)
            error = answer.get("error")
            if error is not None:
                return BrokerUnavailableError(f"the nats server says: {error.get('description', 'no')}")
            epoch = self._places.epoch_of(answer["stream"].encode())
            position = Position(int(answer["seq"]), epoch)
        except (ValueError, KeyError, AttributeError):
            return BrokerUnavailableError("the nats server gives no answer that is one")
        self._places.note(*position)
        return Kept(position, repeated=answer.get("duplicate") is True)

    # Reading.

    async def read(self, channel: str, policy: HistoryPolicy, since: int | None, limit: int) -> Found:
        """Read what a stream keeps of a group.

        Raises:
            BrokerUnavailableError: If there is no JetStream.
        """
        while True:
            stream = await self._streams.of(policy)
            reading = _Reading(self._client, self._streams, stream, channel[self._before :])
            try:
                return await reading.read(since, limit)
            except _ReadAgainError:
                await asyncio.sleep(_AGAIN_SECONDS)


def _id_header(message: Keep) -> bytes:
    text = f"{len(message.group)}.{message.group}.{message.idempotency_key}"
    name = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]
    return f"NATS/1.0\r\nNats-Msg-Id: {name}\r\n\r\n".encode()


class _Message(NamedTuple):
    offset: int
    data: bytes
    kept_at: bytes


class _Reading:
    """One read of a group's history.

    What the stream's leader says counts. The messages themselves come from whichever server has a copy,
    which may lag behind it: then the read begins anew.
    """

    def __init__(self, client: NatsClient, streams: Streams, stream: Stream, group: str) -> None:
        self._client = client
        self._streams = streams
        self._stream = stream
        self._subject = stream.subjects + group

    async def read(self, since: int | None, limit: int) -> Found:
        stream = self._stream
        info, last = await asyncio.gather(
            self._streams.call(f"STREAM.INFO.{stream.name}", {"subjects_filter": self._subject}),
            self._leaders({"last_by_subj": self._subject}),
        )
        if "error" in info:
            self._streams.forget(stream)
            raise _ReadAgainError
        state = info["state"]
        kept = int((state.get("subjects") or {}).get(self._subject, 0))
        if last is None and kept:
            raise _ReadAgainError  # the two were not answered at the same time
        whole = kept < stream.policy.size and time.time() >= stream.whole_from
        newest = int(state["last_seq"]) if last is None else last
        messages: list[_Message] = []
        if last is not None and limit > 0:
            if since is None:
                messages = await self._last(kept, last, limit)
            elif since < last:
                messages = await self._behind(since, last, limit)
        if not messages:
            return Found((), Position(newest, stream.epoch), newest, whole)
        # Some may have been thrown away while others were read; but none behind the one that is oldest now.
        oldest = await self._leaders({"seq": 1, "next_by_subj": self._subject})
        newest = max(newest, messages[-1].offset)
        messages = [] if oldest is None else [one for one in messages if one.offset >= oldest]
        cutoff = _cutoff(info["ts"], stream.policy.seconds)
        if messages and messages[0].kept_at < cutoff:
            whole = time.time() >= stream.whole_from  # as whatever is younger is there
        places = self._places(messages, since, cutoff)
        places = places[-limit:] if since is None else places[:limit]
        floor = newest
        if places:
            first = places[0][0]
            known = (
                since if since is not None and oldest is not None and oldest <= since else first.offset - 1
            )
            floor = first.previous or known
        return Found(places, Position(newest, stream.epoch), floor, whole)

    def _places(
        self, messages: list[_Message], since: int | None, cutoff: bytes
    ) -> list[tuple[Place, bytes]]:
        found = []
        previous = 0
        for offset, data, kept_at in messages:
            if kept_at >= cutoff and (since is None or offset > since):
                found.append((Place(offset, previous, self._stream.epoch), data))
            previous = offset
        return found

    async def _behind(self, since: int, last: int, limit: int) -> list[_Message]:
        # The one at `since` itself, if it is there still, shows that none is missing behind it.
        return await self._from(max(since, 1), last, limit + 1)

    async def _last(self, kept: int, last: int, limit: int) -> list[_Message]:
        """Read the last ones, and a few more before them."""
        low, high = 1, last
        start = 1
        while kept > limit + 1 + _SPARE and low <= high:
            middle = (low + high) // 2
            _, pending = await self._ask(middle, 1)
            if pending < limit:
                high = middle - 1
            else:
                start, kept, low = middle, pending + 1, middle + 1
        return await self._from(start, last, kept + _SPARE)

    async def _from(self, start: int, last: int, limit: int) -> list[_Message]:
        messages: list[_Message] = []
        pending = 1
        while pending and len(messages) < limit:
            part, pending = await self._ask(start, min(_AT_ONCE, limit - len(messages)))
            messages += part
            if part:
                start = part[-1].offset + 1
        if self._stream.replicas > 1 and start <= last and len(messages) < limit:
            raise _ReadAgainError  # from a copy that lacks what its leader has
        return messages

    async def _ask(self, start: int, most: int) -> tuple[list[_Message], int]:
        """Read messages of the group: offset, content and time of each; and how many are left behind them."""
        question = {"seq": start, "batch": most, "next_by_subj": self._subject}
        answers = await self._client.ask(
            f"$JS.API.DIRECT.GET.{self._stream.name}", json.dumps(question).encode(), more=_is_message
        )
        messages = []
        pending = 0
        for data, header in answers:
            about = read_header(header or b"")
            if b"Sequence" in about:
                offset = int(about[b"Sequence"])
                messages.append(_Message(offset, data, about[b"Time-Stamp"].rstrip(b"Z")))
                pending = int(about[b"Num-Pending"])
            elif header is None or not header.startswith((b"NATS/1.0 204", b"NATS/1.0 404")):
                self._streams.forget(self._stream)
                raise BrokerUnavailableError("the nats server gives no messages of the stream, or not now")
        return messages, pending

    async def _leaders(self, question: dict[str, Any]) -> int | None:
        """Ask the leader for a message, and give its offset; `None` if there is none."""
        answer = await self._streams.call(f"STREAM.MSG.GET.{self._stream.name}", question)
        error = answer.get("error")
        if error is None:
            return int(answer["message"]["seq"])
        if error.get("err_code") == _MESSAGE_NOT_FOUND:
            return None
        self._streams.forget(self._stream)
        raise _ReadAgainError


def _is_message(header: bytes | None) -> bool:
    return header is not None and header.startswith(b"NATS/1.0\r")


def _cutoff(now: str, seconds: float) -> bytes:
    """Give the time so many seconds ago, in the server's form, which is compared as text."""
    then = datetime.fromisoformat(now) - timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
