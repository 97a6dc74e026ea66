"""Clients that come back: what they have, what they missed, and the tokens that say so."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

from gateway.broker.contract import BrokerUnavailableError, Position
from gateway.core.envelope import token_envelope
from gateway.core.groups import EVERYONE
from gateway.core.replays import Replays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.broker.contract import Publication
    from gateway.core.clock import Call, Clock
    from gateway.core.groups import Group
    from gateway.core.hub import Hub
    from gateway.core.resume import Positions, ResumeTokens, Resumption
    from gateway.core.tracker import Tracker
    from gateway.core.trackers import Trackers
    from gateway.observe.metrics import Metrics

__all__ = ["Arrival", "ResumeSet", "Resuming", "SignedPositions"]

_PREPARE_SECONDS: Final = 2.0
"""How long an opening handshake waits for the engine; then the client is told that it is not recovered."""

_LEAST_PAUSE: Final = 0.25
"""Seconds between two looks at all sets: of many each may be due at a time of its own."""


class ResumeSet:
    """The groups with history that some connections have in common: they are sent the same tokens.

    Args:
        groups: Their names, sorted.
        seconds: For how long their tokens are good.
        now: The present, on the node's clock: who joins is sent a token.
    """

    __slots__ = ("__weakref__", "due_at", "groups", "seconds")

    def __init__(self, groups: tuple[str, ...], seconds: float, now: float) -> None:
        self.groups = groups
        self.seconds = seconds
        self.due_at = now
        """When all who have these groups need another token, on the node's clock: none of theirs ends before
        another half of its time is over."""
        self.sent(now)

    def sent(self, now: float) -> None:
        """Note that all are sent a token; it may end a second early, as a token's end is a whole second."""
        self.due_at = now + max(self.seconds - 1, 0.0) / 2


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
            most_bytes: Most bytes of all of them together, as frames; beyond it the client is not recovered.
        """
        if self._token is None:
            return () if token is None else (token_envelope(token),)
        if self._resumption is not None:
            outcome, texts = self._resuming.replays.give(
                self._resuming.tokens, self._trackers, self._resumption, most_bytes
            )
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
        self.replays = Replays()
        self._sets: WeakValueDictionary[tuple[str, ...], ResumeSet] = WeakValueDictionary()
        self._hub: Hub | None = None
        self._look: Call | None = None
        self._look_at = math.inf

    @property
    def sets(self) -> list[ResumeSet]:
        """All sets of groups that connections have."""
        return list(self._sets.values())

    def start(self, hub: Hub) -> None:
        """Send tokens from now on to those whose own would run out.

        Args:
            hub: Knows the members of groups.
        """
        self._hub = hub
        for groups in self.sets:
            self._look_by(groups.due_at)

    def close(self) -> None:
        """Send no more tokens."""
        self._hub = None
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def set_of(self, joined: Sequence[Group], former: ResumeSet | None = None) -> ResumeSet | None:
        """Give the set of the groups with history among those that a connection has joined.

        Args:
            joined: All groups that it has joined.
            former: The set that it had before, and its token is of; `None` for none.
        """
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
            self._look_by(found.due_at)
        if former is not None and former.due_at < found.due_at:
            found.due_at = former.due_at
            self._look_by(found.due_at)
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

    def note_sent(self, groups: ResumeSet, publication: Publication) -> None:
        """Note that a publication takes a token to members who have a set, if it reaches all of them."""
        if publication.exclude is None and (
            publication.group in groups.groups or publication.group == EVERYONE
        ):
            groups.sent(self.clock.time())

    def _look_by(self, due_at: float) -> None:
        """Have the sets looked at when one is due, or a little later."""
        if self._hub is None or due_at >= self._look_at:
            return
        if self._look is not None:
            self._look.cancel()
        self._look_at = due_at
        self._look = self.clock.call_later(max(due_at - self.clock.time(), _LEAST_PAUSE), self._refresh)

    def _refresh(self) -> None:
        self._look, self._look_at = None, math.inf
        if self._hub is not None:
            self.refresh(self._hub)
            self._look_by(min((groups.due_at for groups in self.sets), default=math.inf))

    def refresh(self, hub: Hub) -> None:
        """Send a token to those to whom nothing was published for long: the one they have would run out."""
        now = self.clock.time()
        for groups in self.sets:
            if now < groups.due_at:
                continue
            groups.sent(now)
            token = self.token(groups)
            if token is None:
                continue
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
