"""Tests of what clients that come back are sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import History, HistoryPolicy, Position, Publication
from gateway.core.replays import Replays
from gateway.core.resume import ResumeTokens
from gateway.core.tracker import Tracker
from gateway.protocol.encoding import encode_message

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEPS = 60
BEGIN = 1000.0


class Come:
    """A group with some publications, and clients that come back to it at times."""

    def __init__(self, *messages: str) -> None:
        self.now = BEGIN
        self.tokens = ResumeTokens(b"k" * 32, 300, lambda: self.now)
        self.replays = Replays()
        kept = [
            Publication("room", message, offset=number, previous=number - 1, epoch="e")
            for number, message in enumerate(messages, 1)
        ]
        self.tracker = Tracker("room", HistoryPolicy("*", 5, KEEPS))
        self.newest = self.tracker.position = Position(len(kept), "e")
        self.tracker.begin_mirror()
        self.tracker.mirror(History(tuple(kept), self.newest, 0, whole=True))
        token = self.tokens.sign({"room": Position(0, "e")}, KEEPS)
        assert token is not None
        resumption = self.tokens.read(token)
        assert resumption is not None
        self.resumption = resumption

    def back(self, most_bytes: int = 10**6) -> tuple[str, Sequence[str] | None]:
        """Have a client come back that has none of them."""
        return self.replays.give(self.tokens, [self.tracker], self.resumption, most_bytes)

    def envelopes(self) -> list[dict[str, Any]]:
        """Have one come back, and read what it gets."""
        outcome, texts = self.back()
        assert outcome == "recovered"
        assert texts is not None
        return [json.loads(text) for text in texts]


@pytest.mark.parametrize("messages", [[], ["a"], ["a", "b", "c"]])
def test_the_last_token_is_fresh(messages: list[str]) -> None:
    """However late a client comes with the same token, what it has in the end is good for its whole time."""
    come = Come(*messages)
    for late in (0, 1, KEEPS - 1):
        come.now = BEGIN + late
        got = come.envelopes()
        assert got[0]["recovered"] is True
        assert got[0]["missed"] == len(messages)
        assert [one["data"] for one in got[1:]] == messages
        fresh = come.tokens.read(got[-1]["resume"])
        assert fresh == ({"room": come.newest}, come.now + KEEPS)
        for offset, one in enumerate(got[:-1]):
            assert come.tokens.read(one["resume"]) == ({"room": Position(offset, "e")}, BEGIN + KEEPS)


@pytest.mark.parametrize(
    "message", ["x" * 90, "\N{GREEK SMALL LETTER OMEGA}" * 70_000, "\N{GRINNING FACE}" * 5]
)
def test_the_bytes_on_the_wire(message: str) -> None:
    """They all fit to the byte, or none of them is given, whoever has asked before."""
    size = sum(len(encode_message(text)) for text in Come(message, message).back()[1] or ())
    come = Come(message, message)
    for _ in range(2):
        assert come.back(size - 1) == ("too_much", None)
        assert come.back(size - 2) == ("too_much", None)
        outcome, texts = come.back(size)
        assert outcome == "recovered"
        assert texts is not None
        assert len(texts) == 3
