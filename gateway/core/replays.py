"""What clients that come back are sent: the answer to their token, and the publications that they missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.broker.contract import Position
from gateway.core.envelope import Envelope, token_envelope
from gateway.protocol.encoding import encode_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.broker.contract import Publication
    from gateway.core.resume import Positions, ResumeTokens, Resumption
    from gateway.core.tracker import Tracker

__all__ = ["Replays"]

_MOST: Final = 64
"""Answers that are kept for others who come back with the same token: after a restart that is the rule."""


class _Replay(NamedTuple):
    """Envelopes, all but the last of which are the same for all who come back with one token.

    Args:
        texts: All but the last; `None` if they have not been kept, since there were too many.
        last: The last publication; `None` if none was missed, and the answer itself is the last.
        positions: Where who has got all of them is.
        seconds: For how long a token of that is good.
        size: Bytes of all of them as frames.
    """

    texts: tuple[str, ...] | None
    last: Envelope | None
    positions: Positions
    seconds: float
    size: int


class Replays:
    """The writer of replays."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], _Replay] = {}

    def give(
        self, tokens: ResumeTokens, trackers: Sequence[Tracker], resumption: Resumption, most_bytes: int
    ) -> tuple[str, Sequence[str] | None]:
        """Give what came after some positions, as envelopes: first the good news, then each publication.

        Args:
            tokens: Makes the tokens that go with them.
            trackers: Those of the groups.
            resumption: What the client has.
            most_bytes: Most bytes of all envelopes as frames.

        Returns:
            The outcome by which it is counted, and the envelopes; `None` if something cannot be had any more,
            or they are too big.
        """
        places: list[tuple[str, Position, Position]] = []
        for tracker in trackers:
            since, now = resumption.positions[tracker.group], tracker.position
            if now is None:
                return "not_kept", None
            places.append((tracker.group, since, now))
        key = (resumption.ends_at, *places)
        replay = self._found.get(key)
        if replay is None or (replay.texts is None and replay.size <= most_bytes):
            replay = _write(tokens, trackers, resumption, most_bytes)
            if replay is None:
                return "not_kept", None
            if len(self._found) >= _MOST:
                self._found.clear()
            self._found[key] = replay
        if replay.texts is None or replay.size > most_bytes:
            return "too_much", None
        # Fresh for each: who has the last one needs no other token for as long as one is good.
        token = tokens.sign(replay.positions, replay.seconds)
        return "recovered", (*replay.texts, _last(replay.last, token))


def _write(
    tokens: ResumeTokens, trackers: Sequence[Tracker], resumption: Resumption, most_bytes: int
) -> _Replay | None:
    missed: list[Publication] = []
    for tracker in trackers:
        some = tracker.missed(resumption.positions[tracker.group])
        if some is None:
            return None
        missed += some
    had = {tracker.group: resumption.positions[tracker.group] for tracker in trackers}
    texts: list[str] = []
    last: Envelope | None = None
    if missed:
        # Each has its own token: who is cut off in the middle goes on from there. All but the last one's
        # positions are old, and good for no longer than the token that the client has come with.
        token = tokens.sign_until(had, resumption.ends_at)
        texts.append(token_envelope(token, recovered=True, missed=len(missed)))
        for publication in missed[:-1]:
            had[publication.group] = Position(publication.offset, publication.epoch)
            texts.append(Envelope(publication).text(tokens.sign_until(had, resumption.ends_at)))
        publication = missed[-1]
        had[publication.group] = Position(publication.offset, publication.epoch)
        last = Envelope(publication)
    seconds = min((tracker.policy.seconds for tracker in trackers), default=tokens.seconds)
    fresh = tokens.sign(had, seconds)
    size = sum(len(encode_message(text)) for text in (*texts, _last(last, fresh)))
    return _Replay(tuple(texts) if size <= most_bytes else None, last, had, seconds, size)


def _last(publication: Envelope | None, token: str | None) -> str:
    if publication is None:
        return token_envelope(token, recovered=True, missed=0)
    return publication.text(token)
