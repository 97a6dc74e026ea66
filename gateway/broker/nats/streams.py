"""The streams of JetStream in which histories lie: one for each pattern of groups."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nats import errors

from gateway.broker.contract import BrokerUnavailableError

if TYPE_CHECKING:
    from gateway.broker.contract import HistoryPolicy
    from gateway.broker.nats.claims import NatsClaims
    from gateway.broker.nats.client import NatsClient
    from gateway.broker.nats.places import Places
    from gateway.config import NatsBrokerConfig

__all__ = ["NO_JETSTREAM", "Stream", "Streams"]

NO_JETSTREAM: Final = "the nats server has no jetstream, or not now"

_SECOND: Final = 1_000_000_000
_GRACE_SECONDS: Final = 10
"""Seconds for which entries are kept beyond those of the policy: they show what is missing."""

_WHOLE_FROM: Final = "gateway_whole_from"
"""The key of a stream's metadata that says from when on it has all that its settings promise."""

_NOT_FOUND: Final = 10059
_GONE_OR_TAKEN: Final = frozenset({_NOT_FOUND, 10058, 10065})
"""Errors after which it helps to look again; the others say that a name, or subjects, are another's."""

_CLAIM_SECONDS: Final = 5
_AGAIN_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream.

    Args:
        policy: What it was made for.
        name: Its name.
        epoch: The part of it that no other stream has.
        subjects: How the subjects begin of what it keeps; the rest is the end of a group's channel.
        whole_from: Unix time from which on it has everything that the policy promises, but for its size;
            endless if it may lack more.
        replicas: How many servers keep it.
    """

    policy: HistoryPolicy
    name: str
    epoch: str
    subjects: str
    whole_from: float
    replicas: int


class Streams:
    """The streams that a link has to do with. It looks for each at its first use, and makes it if need be.

    Args:
        config: The settings.
        client: The connection.
        claims: Say which node makes a stream.
        places: Knows how far each had come.
    """

    def __init__(
        self, config: NatsBrokerConfig, client: NatsClient, claims: NatsClaims, places: Places
    ) -> None:
        self._config = config
        self._client = client
        self._claims = claims
        self._places = places
        self._known: dict[str, Stream] = {}

    def known(self, policy: HistoryPolicy) -> Stream | None:
        """Give the stream of a policy, if it has been looked for."""
        stream = self._known.get(policy.pattern)
        if stream is not None and (stream.policy is policy or stream.policy == policy):
            return stream
        return None

    async def of(self, policy: HistoryPolicy) -> Stream:
        """Give the stream of a policy.

        Raises:
            BrokerUnavailableError: If it cannot be had.
        """
        stream = self.known(policy)
        if stream is None:
            try:
                async with asyncio.timeout(self._config.probe_timeout_seconds):
                    stream = self._known[policy.pattern] = await self._find(policy)
            except TimeoutError:
                raise BrokerUnavailableError("the nats server gives no stream in time") from None
            except errors.Error as exc:
                raise BrokerUnavailableError(
                    f"the nats server gives no stream: {type(exc).__name__}"
                ) from exc
        return stream

    def forget(self, stream: Stream) -> None:
        """Look for a stream anew when it is used again."""
        if self._known.get(stream.policy.pattern) is stream:
            del self._known[stream.policy.pattern]

    async def _find(self, policy: HistoryPolicy) -> Stream:
        mark = hashlib.sha256(policy.pattern.encode(errors="surrogatepass")).hexdigest()[:16]
        prefix = self._config.prefix
        subjects = f"{prefix}.keep.{mark}."
        wanted = self._settings(policy, subjects)
        # Two that ask at once may both get a stream for the same subjects: the server does not look again.
        claim = f"stream {mark}"
        claimed = False
        try:
            while True:
                listed = await self.call("STREAM.NAMES", {"subject": f"{subjects}*"})
                names = sorted(listed.get("streams") or ())
                if names:
                    info = await self._use(names[0], wanted, policy)
                elif claimed:
                    name = f"{prefix}_history_{mark}_{secrets.token_hex(6)}"
                    about = f"the history of groups of the gateway: {policy.pattern}"[:4000]
                    info = await self.call(
                        f"STREAM.CREATE.{name}", {"name": name, "description": about, **wanted}
                    )
                else:
                    claimed = await self._claims.claim(claim, _CLAIM_SECONDS)
                    if not claimed:
                        await asyncio.sleep(_AGAIN_SECONDS)
                    continue
                error = _error_code(info)
                if error is None:
                    return self._stream(info["config"], policy, subjects)
                if error not in _GONE_OR_TAKEN:
                    raise _refusal(info)
                await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            if claimed:
                with suppress(Exception):  # it ends by itself
                    await self._claims.release(claim)

    def _settings(self, policy: HistoryPolicy, subjects: str) -> dict[str, Any]:
        config = self._config
        age = max(policy.seconds + _GRACE_SECONDS, config.idempotency_seconds)
        return {
            "subjects": [f"{subjects}*"],
            "republish": {"src": f"{subjects}*", "dest": f"{config.prefix}.group.{{{{wildcard(1)}}}}"},
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": policy.size,
            "max_age": round(age * _SECOND),
            "duplicate_window": round(config.idempotency_seconds * _SECOND),
            "storage": config.history_storage,
            "num_replicas": config.history_replicas,
            "allow_direct": True,
        }

    async def _use(self, name: str, wanted: dict[str, Any], policy: HistoryPolicy) -> dict[str, Any]:
        """Take a stream that is there: have it as the settings say; give what the server says of it."""
        newest = self._places.newest(self._places.epoch_of(name.encode()))  # before the server is asked
        info = await self.call(f"STREAM.INFO.{name}")
        if "error" in info:
            return info
        found = info["config"]
        if found["subjects"] != wanted["subjects"]:
            raise BrokerUnavailableError("a stream of nats that is not the gateway's takes its subjects")
        if info["state"]["last_seq"] < newest:
            # It has lost its end, as by a disk that was not written to: offsets would be given again.
            gone = await self.call(f"STREAM.DELETE.{name}")
            return gone if "error" in gone else {"error": {"err_code": _NOT_FOUND}}
        # The storage cannot be changed; whoever wants another deletes the stream.
        changes = {
            key: value for key, value in wanted.items() if key != "storage" and found.get(key) != value
        }
        if not changes:
            return info
        if any(wanted[key] > found[key] for key in ("max_msgs_per_subject", "max_age")):
            whole_from = str(int(time.time() + policy.seconds) + 1)
            changes["metadata"] = {**(found.get("metadata") or {}), _WHOLE_FROM: whole_from}
        return await self.call(f"STREAM.UPDATE.{name}", {**found, **changes})

    def _stream(self, config: dict[str, Any], policy: HistoryPolicy, subjects: str) -> Stream:
        name = config["name"]
        limited = max(config.get("max_bytes", -1), config.get("max_msgs", -1)) > 0
        try:
            whole_from = float((config.get("metadata") or {}).get(_WHOLE_FROM, 0))
        except ValueError:
            whole_from = 0.0
        return Stream(
            policy=policy,
            name=name,
            epoch=self._places.epoch_of(name.encode()),
            subjects=subjects,
            whole_from=float("inf") if limited else whole_from,
            replicas=config["num_replicas"],
        )

    async def call(self, what: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream something; its own errors are part of the answer.

        Raises:
            BrokerUnavailableError: If it is not there.
        """
        data = b"" if question is None else json.dumps(question).encode()
        try:
            async with asyncio.timeout(self._config.probe_timeout_seconds):
                ((answer, header),) = await self._client.ask(f"$JS.API.{what}", data)
        except TimeoutError:
            raise BrokerUnavailableError("jetstream does not answer in time") from None
        if header is not None:
            raise BrokerUnavailableError(NO_JETSTREAM)
        found: dict[str, Any] = json.loads(answer)
        if found.get("error", {}).get("code") == 503:  # noqa: PLR2004 - as of HTTP: not now
            raise BrokerUnavailableError(NO_JETSTREAM)
        return found


def _error_code(answer: dict[str, Any]) -> int | None:
    error = answer.get("error")
    return None if error is None else int(error.get("err_code", 0))


def _refusal(answer: dict[str, Any]) -> BrokerUnavailableError:
    return BrokerUnavailableError(f"the nats server says: {answer['error'].get('description', 'no')}")
