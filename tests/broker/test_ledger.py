"""Tests of the witnesses' own law: a ledger finds what it is there to find."""

from __future__ import annotations

from ledger import LATE_SECONDS, Ledger


def take(ledger: Ledger, *numbers: int, now: float = 0.0) -> None:
    """Take numbers of one publisher."""
    for number in numbers:
        ledger.take("g", "p", number, now)


def unexplained(ledger: Ledger, published: float | None = 5.0) -> int:
    """Give how many holes nobody has told of, where each number was published at this time."""
    return len(ledger.unexplained(lambda _group, _name, _number: published))


def test_all_came() -> None:
    """Where each number came in its turn there is nothing to find."""
    ledger = Ledger()
    ledger.begin("g", "p")
    take(ledger, 1, 2, 3)
    assert (ledger.faults, unexplained(ledger), ledger.last("g", "p")) == ([], 0, 3)


def test_twice_and_out_of_order() -> None:
    """A number that came before, or after later ones, is a fault."""
    ledger = Ledger()
    take(ledger, 7, 7, 9, 8)
    assert ledger.faults == ["p to g: 7 came after 7", "p to g: 8 came after 9"]
    ledger.forget("g")
    take(ledger, 3)
    assert len(ledger.faults) == 2


def test_what_is_missing_needs_a_word() -> None:
    """It has to come after the publication, for this group, and not too late."""
    ledger = Ledger()
    ledger.begin("g", "p")
    take(ledger, 3, now=10.0)
    assert unexplained(ledger) == 1
    ledger.tell("g", 4.0)
    ledger.tell("other", 6.0)
    assert unexplained(ledger) == 1
    ledger.tell("g", 10.1 + LATE_SECONDS)
    assert unexplained(ledger) == 1
    late = Ledger()
    late.begin("g", "p")
    take(late, 3, now=10.0)
    late.tell("g", 11.0)
    assert unexplained(late) == 0


def test_what_may_not_have_been_published() -> None:
    """Nobody has to be told of it."""
    ledger = Ledger()
    take(ledger, 1, 3)
    assert unexplained(ledger, None) == 0
