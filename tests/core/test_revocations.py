"""Tests of revocations: what they cover, how long, and how two of them add up."""

from __future__ import annotations

import pytest

from gateway import Identity
from gateway.core import revocations as module
from gateway.core.revocations import Revocation, Revocations, TooManyRevocationsError

NOW = 1_000_000.0


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def revocations(clock: Clock) -> Revocations:
    """Give an empty list of revocations."""
    return Revocations(clock)


def of_token(token_id: str, until: float = NOW + 100) -> Revocation:
    """Give the revocation of a token."""
    return Revocation(token_id, None, 0, until)


def of_user(user: str, issued_before: float = NOW, until: float = NOW + 100) -> Revocation:
    """Give the revocation of a user's tokens."""
    return Revocation(None, user, issued_before, until)


def test_a_token_is_covered_by_its_id(revocations: Revocations) -> None:
    """A revoked token is covered, and neither another one of the user nor one without an id."""
    revocations.add(of_token("t-1"))
    assert revocations.covers(Identity("ada", token_id="t-1"))
    assert not revocations.covers(Identity("ada", token_id="t-2"))
    assert not revocations.covers(Identity("t-1"))


@pytest.mark.parametrize(
    ("issued_at", "covered"), [(NOW - 1, True), (NOW, True), (NOW + 1, False), (None, True)]
)
def test_a_user_is_covered_up_to_a_moment(
    revocations: Revocations, issued_at: float | None, covered: bool
) -> None:
    """Of a revoked user's proofs the newer ones are good; one that does not say when it was made is not."""
    revocations.add(of_user("ada"))
    assert revocations.covers(Identity("ada", issued_at=issued_at)) is covered
    assert not revocations.covers(Identity("bob", issued_at=issued_at))


def test_revocations_end(revocations: Revocations, clock: Clock) -> None:
    """A revocation holds until its end, and leaves nothing behind."""
    revocations.add(of_token("t", NOW + 10))
    revocations.add(of_user("ada", until=NOW + 20))
    token, user = Identity("bob", token_id="t"), Identity("ada")
    clock.now = NOW + 9.9
    assert (revocations.covers(token), revocations.covers(user), len(revocations)) == (True, True, 2)
    clock.now = NOW + 10
    assert (revocations.covers(token), revocations.covers(user), len(revocations)) == (False, True, 1)
    clock.now = NOW + 20
    assert (list(revocations), len(revocations), revocations._ends) == ([], 0, [])


def test_the_wider_of_two_holds(revocations: Revocations, clock: Clock) -> None:
    """A second revocation of the same user widens the first, and never narrows it."""
    revocations.add(of_user("ada", issued_before=NOW, until=NOW + 50))
    revocations.add(of_user("ada", issued_before=NOW - 20, until=NOW + 10))
    revocations.add(of_user("ada", issued_before=NOW - 20, until=NOW + 90))
    assert list(revocations) == [of_user("ada", issued_before=NOW, until=NOW + 90)]
    clock.now = NOW + 60
    assert revocations.covers(Identity("ada", issued_at=NOW))


def test_they_are_bounded(revocations: Revocations, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no room, a new revocation is refused, and an old one can still be widened."""
    monkeypatch.setattr(module, "MOST_REVOCATIONS", 2)
    revocations.add(of_token("a"))
    revocations.add(of_user("b"))
    with pytest.raises(TooManyRevocationsError):
        revocations.add(of_token("c"))
    revocations.add(of_token("a", NOW + 500))
    assert sorted(revocation.until for revocation in revocations) == [NOW + 100, NOW + 500]


def test_widening_leaves_nothing_behind(revocations: Revocations, clock: Clock) -> None:
    """One that is widened a thousand times takes no more room than one that is not, and ends on time."""
    revocations.add(of_user("ada", until=NOW + 5000))
    for second in range(1000):
        revocations.add(of_token("t", NOW + 100 + second))
        revocations.add(of_token("t", NOW + 50))
    assert (len(revocations), len(revocations._ends) <= 4) == (2, True)
    token = Identity("bob", token_id="t")
    clock.now = NOW + 1098.9
    assert revocations.covers(token)
    clock.now = NOW + 1099
    assert (revocations.covers(token), len(revocations)) == (False, 1)


def test_a_user_and_a_token_of_one_name(revocations: Revocations) -> None:
    """A token's id and a user's id are different things, whatever they read."""
    revocations.add(of_token("ada"))
    assert not revocations.covers(Identity("ada"))
    revocations.add(of_user("t-1"))
    assert not revocations.covers(Identity("bob", token_id="t-1"))
