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


def test_a_late_foreign_word_explains_nothing() -> None:
    """What is said of the next fault, two seconds later, is not about a hole of which nobody has told."""
    ledger = Ledger()
    ledger.begin("g", "p")
    take(ledger, 2, now=10.0)
    ledger.tell("g", 12.0)
    assert unexplained(ledger, 9.0) == 1
    take(ledger, 4, now=11.5)
    assert ledger.unexplained(lambda _group, _name, number: {1: 9.0, 3: 11.0}[number]) == [
        "p to g: 1 to 1 at 10.000, the next word 2.000 seconds later"
    ]
    assert ledger.latest(lambda _group, _name, number: {1: 9.0, 3: 11.0}[number]) == 2.0


def test_a_word_covers_only_what_was_published_before_it() -> None:
    """Of one hole the numbers that were published before a word are told of, and the later ones are not."""
    ledger = Ledger()
    ledger.begin("g", "p")
    ledger.tell("g", 4.0)
    take(ledger, 4, now=10.0)
    found = ledger.unexplained(lambda _group, _name, number: 2.5 + number)
    assert found == ["p to g: 2 to 3 at 10.000, no word after"]


def test_what_comes_late_is_told_apart_from_what_comes_twice() -> None:
    """Both are faults; late is what did not come before others did, and once."""
    ledger = Ledger()
    ledger.begin("g", "p")
    take(ledger, 1, now=1.0)
    take(ledger, 4, now=2.0)
    for number in (3, 3, 1):
        take(ledger, number, now=3.0)
    assert len(ledger.faults) == 3
    assert [(one.number, one.fault) for one in ledger.late] == [(3, ledger.faults[0])]


def test_what_may_not_have_been_published() -> None:
    """Nobody has to be told of it."""
    ledger = Ledger()
    take(ledger, 1, 3)
    assert unexplained(ledger, None) == 0
