"""The history of groups in Valkey: a stream and a hash for each, which only scripts touch."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from gateway.broker.contract import BrokerUnavailableError, Kept, Position
from gateway.broker.link import Found, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.link import Keep
    from gateway.config import ValkeyBrokerConfig

__all__ = ["ValkeyHistory", "read_place"]

_REMEMBERED_MILLISECONDS: Final = 86_400_000
"""For how long at least a group's offset is remembered after its last publication. When it is forgotten, a
new epoch begins, and members that stayed are told of a gap that is none."""

_LIFE: Final = 16
"""Characters of the server's random names, of forty, that tell one from the other."""

_PLACE: Final = re.compile(rb"\+([\w-]{1,64}) ([1-9]\d{0,15})\n", re.ASCII)

Command = tuple[str | bytes | int, ...]


def read_place(data: bytes) -> tuple[Place | None, bytes]:
    """Take apart what came through a channel: the place that a script wrote in front, if any; the rest."""
    head = _PLACE.match(data) if data[:1] == b"+" else None
    if head is None:
        return None, data
    return _place(int(head[2]), head[1].decode()), data[head.end() :]


def _place(offset: int, epoch: str) -> Place:
    return Place(offset, offset - 1, epoch)


def _never_used_before() -> Iterator[str]:
    start = secrets.token_hex(6)
    for number in count():
        yield f"{start}{number:x}"


def _script(name: str) -> str:
    folder = files("gateway.broker.valkey")
    lines = [
        line.partition("--")[0].strip()
        for part in ("common.lua", name)
        for line in folder.joinpath(part).read_text(encoding="utf-8").splitlines()
    ]
    return "\n".join(filter(None, lines))


class ValkeyHistory:
    """What a link says to one server about history, and how it reads the answers.

    Args:
        config: The settings.
    """

    def __init__(self, config: ValkeyBrokerConfig) -> None:
        self._prefix = config.prefix
        self._idempotency_milliseconds = math.ceil(config.idempotency_seconds * 1000)
        self._keep = _script("keep.lua")
        self._keep_hash = hashlib.sha1(self._keep.encode(), usedforsecurity=False).hexdigest()
        self._read = _script("read.lua")
        self._life: tuple[str, str, str] | None = None
        self._epochs = _never_used_before()

    def learn(self, facts: bytes) -> bytes:
        """Take what the server answers to INFO, nothing if the user may not ask; give its run.

        A server that was started anew may have lost what came last: with a file that is written at every
        change (AOF) it has not. Where another one takes its place, some may be missing in any case.
        """
        found = dict(line.partition(b":")[::2] for line in facts.split(b"\r\n"))
        run, line, durable = (
            found.get(name, b"")[:_LIFE].decode() for name in (b"run_id", b"master_replid2", b"aof_enabled")
        )
        self._life = (run, line, durable) if run else None
        return found.get(b"run_id", b"")

    def keep(self, messages: Sequence[Keep]) -> list[Command]:
        """Give the commands that keep messages, one for each.

        The first brings the script along, and the others name it. So none is refused since the script is not
        known, unless somebody removes all scripts in between; it costs a server the hash of 2 KB.

        Raises:
            BrokerUnavailableError: If nothing can be kept.
        """
        life = self._known_life()
        commands: list[Command] = []
        script: Command = ("EVAL", self._keep)
        for one in messages:
            keys = self._keys(one.channel)
            if one.idempotency_key is not None:
                # Any text may be a key.
                name = hashlib.sha256(one.idempotency_key.encode(errors="surrogatepass")).hexdigest()
                keys = (*keys, f"{keys[0]}.{name[:32]}")
            commands.append(
                (
                    *script,
                    len(keys),
                    *keys,
                    *life,
                    next(self._epochs),
                    *_milliseconds(one.policy),
                    one.policy.size,
                    one.channel,
                    one.data,
                    self._idempotency_milliseconds,
                )
            )
            script = ("EVALSHA", self._keep_hash)
        return commands

    def read_kept(self, answer: bytes) -> Kept:
        """Read the answer to such a command."""
        epoch, offset, repeated = answer.split()
        return Kept(Position(int(offset), epoch.decode()), repeated == b"1")

    def read(self, channel: str, policy: HistoryPolicy, since: int | None, limit: int) -> Command:
        """Give the command that reads what is kept; arguments as those of `Broker.history`.

        Raises:
            BrokerUnavailableError: If nothing can be kept.
        """
        keys = self._keys(channel)
        return (
            "EVAL",
            self._read,
            len(keys),
            *keys,
            *self._known_life(),
            next(self._epochs),
            *_milliseconds(policy),
            "" if since is None else since,
            max(0, limit),
        )

    def read_found(self, answer: Sequence[Any]) -> Found:
        """Read the answer to it."""
        name, newest, whole, first, *messages = answer
        epoch = name.decode()
        return Found(
            [(_place(offset, epoch), data) for offset, data in enumerate(messages, first)],
            Position(newest, epoch),
            first - 1,
            bool(whole),
        )

    def _known_life(self) -> tuple[str, str, str]:
        if self._life is None:
            raise BrokerUnavailableError("the server does not tell its `run_id`, or not this user")
        return self._life

    def key(self, channel: str) -> str:
        """Give the key of what is known of a group.

        All keys of a group have its name between braces, so that one server of a cluster has all. It is
        never empty, and has no braces, as it is the last part of a channel's name.
        """
        return f"{self._prefix}.history.{{{channel.rpartition('.')[2]}}}"

    def _keys(self, channel: str) -> tuple[str, ...]:
        key = self.key(channel)
        return key, f"{key}.entries"


def _milliseconds(policy: HistoryPolicy) -> tuple[int, int]:
    kept = math.ceil(policy.seconds * 1000)
    return kept, max(2 * kept, _REMEMBERED_MILLISECONDS)
