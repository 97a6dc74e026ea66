"""Tests of the tokens by which clients resume."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.contract import Position
from gateway.core.resume import MOST_TOKEN_CHARACTERS, ResumeTokens

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = b"k" * 32
POSITIONS = {"room:1": Position(7, "a1"), "user:ann": Position(2**64 - 1, "")}


class Clock:
    """A clock that stands still."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the tokens."""
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ResumeTokens:
    """Tokens that are good for a minute."""
    return ResumeTokens(KEY, 60, clock)


def positions(tokens: ResumeTokens, token: str) -> Mapping[str, Position]:
    """Read a token that is good."""
    found = tokens.read(token)
    assert found is not None
    return found.positions


def test_what_is_signed_is_read(tokens: ResumeTokens) -> None:
    """A token names groups and positions, and needs no escape in a URL."""
    token = tokens.sign(POSITIONS, 300)
    assert token is not None
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert positions(tokens, token) == POSITIONS


def test_it_ends(tokens: ResumeTokens, clock: Clock) -> None:
    """A token is good for its time and no longer; where a group keeps its history for less, for that."""
    long, short = tokens.sign(POSITIONS, 300), tokens.sign(POSITIONS, 10)
    assert long is not None
    assert short is not None
    clock.now += 9.9
    assert positions(tokens, short) == POSITIONS
    clock.now += 0.1
    assert tokens.read(short) is None
    clock.now += 49.9
    assert positions(tokens, long) == POSITIONS
    clock.now += 0.1
    assert tokens.read(long) is None


def test_of_another_key(tokens: ResumeTokens, clock: Clock) -> None:
    """A token of another gateway is none."""
    token = ResumeTokens(b"x" * 32, 60, clock).sign(POSITIONS, 300)
    assert token is not None
    assert tokens.read(token) is None


def test_no_bit_may_change(tokens: ResumeTokens) -> None:
    """A token with any character changed to another is none."""
    token = tokens.sign(POSITIONS, 300)
    assert token is not None
    for index, character in enumerate(token[:-1]):
        forged = token[:index] + ("A" if character != "A" else "B") + token[index + 1 :]
        assert tokens.read(forged) is None, index


def test_too_long(tokens: ResumeTokens) -> None:
    """Positions that no request line could carry give no token, and what is longer is not looked at."""
    many = {f"group {number} {'x' * 100}": Position(number, "epoch") for number in range(100)}
    assert tokens.sign(many, 300) is None
    assert tokens.read("A" * (MOST_TOKEN_CHARACTERS + 1)) is None


@given(st.text(max_size=200))
def test_junk(text: str) -> None:
    """Any text is either a token or none, and nothing else happens."""
    assert ResumeTokens(KEY, 60, Clock()).read(text) is None


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.builds(Position, st.integers(0, 2**64 - 1), st.text(max_size=10)),
        max_size=5,
    )
)
def test_any_positions(positions: dict[str, Position]) -> None:
    """Whatever names groups have, positions come back as they were, or there is no token."""
    tokens = ResumeTokens(KEY, 60, Clock())
    try:
        token = tokens.sign(positions, 60)
    except UnicodeEncodeError:
        return
    assert token is not None
    assert tokens.read(token) == (positions, 1_000_060)
