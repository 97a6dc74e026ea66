"""Clients that come back: what they have, what they missed, and the tokens that say so."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

from gateway.broker.contract import BrokerUnavailableError, Position
from gateway.core.envelope import Envelope, token_envelope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.broker.contract import Publication
    from gateway.core.clock import Clock
    from gateway.core.groups import Group
    from gateway.core.hub import Hub
    from gateway.core.resume import Positions, ResumeTokens, Resumption
    from gateway.core.tracker import Tracker
    from gateway.core.trackers import Trackers
    from gateway.observe.metrics import Metrics

__all__ = ["Arrival", "ResumeSet", "Resuming", "SignedPositions"]

_PREPARE_SECONDS: Final = 2.0
"""How long an opening handshake waits for the engine; then the client is told that it is not recovered."""

_REPLAYS: Final = 64
"""Answers that are kept for others who come back with the same token: after a restart that is the rule."""


class ResumeSet:
    """The groups with history that some connections have in common: they are sent the same tokens.

    Args:
        groups: Their names, sorted.
        seconds: For how long their tokens are good.
        sent_at: The present, on the node's clock: who joins is sent a token.
    """

    __slots__ = ("__weakref__", "groups", "seconds", "sent_at")

    def __init__(self, groups: tuple[str, ...], seconds: float, sent_at: float) -> None:
        self.groups = groups
        self.seconds = seconds
        self.sent_at = sent_at
        """When all who have these groups were last sent a token, on the node's clock."""


class SignedPositions(NamedTuple):
    """Where groups are, with the token that says so.

    Args:
        positions: By the groups' names.
        token: The token.
        seconds: For how long it is good.
    """

    positions: Positions
    token: str
    seconds: float


class Arrival:
    """What an opening handshake on a route with envelopes begins with.

    Args:
        trackers: Those of the groups with history that the connection is to join.
        token: What the client has come with; `None` if it does not resume.
        resuming: What all of them share.
    """

    __slots__ = ("_resuming", "_resumption", "_token", "_trackers")

    def __init__(self, trackers: list[Tracker], token: str | None, resuming: Resuming) -> None:
        self._trackers = trackers
        self._token = token
        self._resumption: Resumption | None = None
        self._resuming = resuming

    async def prepare(self) -> None:
        """Have at hand what the client has missed; it is told if that cannot be had in time."""
        resuming = self._resuming
        if self._token is not None:
            resumption = resuming.tokens.read(self._token)
            if resumption is None:
                resuming.metrics.recoveries["bad_token"] += 1
            elif any(tracker.group not in resumption.positions for tracker in self._trackers):
                resuming.metrics.recoveries["other_groups"] += 1
            else:
                self._resumption = resumption
        positions = None if self._resumption is None else self._resumption.positions
        try:
            async with asyncio.timeout(_PREPARE_SECONDS):
                await resuming.trackers.prepare(self._trackers, positions)
        except (BrokerUnavailableError, TimeoutError):
            if self._resumption is not None:
                resuming.metrics.recoveries["unavailable"] += 1
            self._resumption = None

    def greeting(self, token: str | None, most_bytes: int) -> Sequence[str]:
        """Give the first envelopes of the connection, which is a member of its groups by now.

        Args:
            token: The token of its groups as they are now.
            most_bytes: Most characters of all of them together; beyond it the client is not recovered.
        """
        if self._token is None:
            return () if token is None else (token_envelope(token),)
        if self._resumption is not None:
            outcome, texts = self._resuming.replay(self._trackers, self._resumption, most_bytes)
            self._resuming.metrics.recoveries[outcome] += 1
            if texts is not None:
                return texts
        return (token_envelope(token, recovered=False),)


class Resuming:
    """What a node needs to send tokens, and to take them.

    Args:
        trackers: The groups with history.
        tokens: Makes and reads tokens.
        metrics: Where recoveries are counted.
        clock: The node's.
    """

    def __init__(self, trackers: Trackers, tokens: ResumeTokens, metrics: Metrics, clock: Clock) -> None:
        self.clock = clock
        self.trackers = trackers
        self.tokens = tokens
        self.metrics = metrics
        self._sets: WeakValueDictionary[tuple[str, ...], ResumeSet] = WeakValueDictionary()
        self._replays: dict[tuple[object, ...], tuple[str, ...]] = {}

    @property
    def sets(self) -> list[ResumeSet]:
        """All sets of groups that connections have."""
        return list(self._sets.values())

    def set_of(self, joined: Sequence[Group]) -> ResumeSet | None:
        """Give the set of the groups with history among those that a connection has joined."""
        trackers = [tracker for group in joined if (tracker := self.trackers.get(group.name)) is not None]
        if not trackers:
            return None
        groups = tuple(sorted(tracker.group for tracker in trackers))
        found = self._sets.get(groups)
        if found is None:
            seconds = min(tracker.policy.seconds for tracker in trackers)
            found = self._sets[groups] = ResumeSet(
                groups, min(seconds, self.tokens.seconds), self.clock.time()
            )
        return found

    def token(self, groups: ResumeSet | None) -> str | None:
        """Sign where the groups of a set are now; `None` if that is not known of each."""
        if groups is None:
            return None
        positions: dict[str, Position] = {}
        for group in groups.groups:
            tracker = self.trackers.get(group)
            if tracker is None or tracker.position is None:
                return None
            positions[group] = tracker.position
        return self.tokens.sign(positions, groups.seconds)

    async def sign_present(self, groups: Iterable[str]) -> SignedPositions:
        """Sign where groups are now.

        Raises:
            BrokerUnavailableError: If the engine cannot be asked.
            ValueError: If one keeps no history, or there are too many for a token.
        """
        positions: dict[str, Position] = {}
        seconds = self.tokens.seconds
        for group in groups:
            policy = self.trackers.policy(group)
            if policy is None:
                raise ValueError(f"group {group!r} keeps no history")
            seconds = min(seconds, policy.seconds)
            positions[group] = await self.trackers.newest(group)
        token = self.tokens.sign(positions, seconds)
        if token is None:
            raise ValueError("too many groups for one token, or their names are too long")
        return SignedPositions(positions, token, seconds)

    def refresh(self, hub: Hub) -> None:
        """Send a token to those to whom nothing was published for long: the one they have would run out."""
        now = self.clock.time()
        for groups in self.sets:
            if now - groups.sent_at < groups.seconds / 2:
                continue
            token = self.token(groups)
            if token is None:
                continue
            groups.sent_at = now
            text = token_envelope(token)
            for member in hub.members(groups.groups[0]):
                if member.resume_set is groups:
                    member.send_envelope(text)

    @contextmanager
    def arriving(self, groups: Sequence[str], token: str | None) -> Iterator[Arrival]:
        """Follow the groups of a connection to be, until it is a member.

        Args:
            groups: The names of all that it is to join.
            token: What the client has come with; `None` if it does not resume.
        """
        with self.trackers.held(groups) as trackers:
            yield Arrival(trackers, token, self)

    def replay(
        self, trackers: Sequence[Tracker], resumption: Resumption, most_bytes: int
    ) -> tuple[str, Sequence[str] | None]:
        """Give what came after some positions, as envelopes: first the good news, then each publication.

        Returns:
            The outcome by which it is counted, and the envelopes; `None` if something cannot be had any more.
        """
        places: list[tuple[str, Position, Position]] = []
        for tracker in trackers:
            since, now = resumption.positions[tracker.group], tracker.position
            if now is None:
                return "not_kept", None
            places.append((tracker.group, since, now))
        key = (resumption.ends_at, *places)
        texts: Sequence[str] | None = self._replays.get(key)
        if texts is None:
            texts = self._write(trackers, resumption)
            if texts is None:
                return "not_kept", None
            if len(self._replays) >= _REPLAYS:
                self._replays.clear()
            self._replays[key] = tuple(texts)
        if sum(map(len, texts)) > most_bytes:
            return "too_much", None
        return "recovered", texts

    def _write(self, trackers: Sequence[Tracker], resumption: Resumption) -> list[str] | None:
        missed: list[Publication] = []
        for tracker in trackers:
            some = tracker.missed(resumption.positions[tracker.group])
            if some is None:
                return None
            missed += some
        had = {tracker.group: resumption.positions[tracker.group] for tracker in trackers}
        tokens = self.tokens
        # Each has its own token: who is cut off in the middle goes on from there. All but the last one's
        # positions are old, and good for no longer than the token that the client has come with.
        texts = [
            token_envelope(tokens.sign_until(had, resumption.ends_at), recovered=True, missed=len(missed))
        ]
        for publication in missed:
            had[publication.group] = Position(publication.offset, publication.epoch)
            texts.append(Envelope(publication).text(tokens.sign_until(had, resumption.ends_at)))
        seconds = min((tracker.policy.seconds for tracker in trackers), default=tokens.seconds)
        fresh = tokens.sign(had, seconds)
        if missed:
            texts[-1] = Envelope(missed[-1]).text(fresh)
        else:
            texts[0] = token_envelope(fresh, recovered=True, missed=0)
        return texts
