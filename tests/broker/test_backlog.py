"""Tests of what waits for an engine to keep it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.broker import backlog
from gateway.broker.backlog import Backlog
from gateway.broker.contract import BrokerUnavailableError, HistoryPolicy, Kept, Position
from gateway.broker.link import Keep

POLICY = HistoryPolicy("*", 10, 60)
KEPT = Kept(Position(7, "e"))


class Refused(list[tuple[str, str]]):
    """What was refused, and why."""

    def take(self, keep: Keep, error: BrokerUnavailableError) -> None:
        """Note it."""
        self.append((keep.group, error.fact))


@pytest.fixture
def refused() -> Refused:
    """What was refused."""
    return Refused()


@pytest.fixture
async def box(refused: Refused) -> Backlog:
    """A backlog with room for a thousand bytes."""
    return Backlog(1000, refused.take)


def make(group: str = "g", size: int = 1, *, wanted: bool = False) -> Keep:
    """Make a message."""
    return Keep(group, f"channel of {group}", b"x" * size, POLICY, position_wanted=wanted)


async def test_what_comes_in_leaves_in_order(box: Backlog) -> None:
    """All at once, and whoever sends is woken for it."""
    assert not box.due.is_set()
    keeps = [make(str(number)) for number in range(5)]
    for keep in keeps:
        box.add(keep)
    assert box.due.is_set()
    assert box.take() == keeps
    assert not box.due.is_set()
    assert box.take() == []


async def test_only_so_many_are_on_their_way(box: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait until half of them are answered: so they leave many at a time."""
    monkeypatch.setattr(backlog, "MOST_UNDER_WAY", 4)
    for number in range(7):
        box.add(make(str(number)))
    first = box.take()
    assert [keep.group for keep in first] == list("0123")
    box.answered(first[0], None)
    assert not box.due.is_set()
    box.answered(first[3], None)
    assert box.due.is_set()
    assert [keep.group for keep in box.take()] == list("45")
    box.add(make("7"))
    assert not box.due.is_set()


async def test_only_so_much_leaves_at_once(box: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is due in the next go."""
    monkeypatch.setattr(backlog, "_BYTES_AT_ONCE", 100)
    for number in range(3):
        box.add(make(str(number), 60))
    assert [keep.group for keep in box.take()] == list("01")
    assert box.due.is_set()
    assert [keep.group for keep in box.take()] == ["2"]


async def test_room_comes_back_as_messages_leave(box: Backlog) -> None:
    """The limit holds for what waits."""
    box.add(make(size=900))
    assert box.has_room(100)
    assert not box.has_room(101)
    box.take()
    assert box.has_room(1000)


async def test_a_refusal_is_passed_on(box: Backlog, refused: Refused) -> None:
    """Once; what is kept is not mentioned, and a second answer counts for nothing."""
    for group in "ab":
        box.add(make(group))
    one, two = box.take()
    for _ in range(2):
        box.answered(one, BrokerUnavailableError("full"))
        box.answered(two, None)
    assert refused == [("a", "full")]


async def test_whoever_asks_is_answered(box: Backlog, refused: Refused) -> None:
    """With the position, or with the error, which is passed on to no one else."""
    answers = [box.ask(make(group, wanted=True)) for group in "abc"]
    one, two, three = box.take()
    box.answered(one, KEPT)
    box.answered(two, BrokerUnavailableError("full"))
    box.answered(three, None)
    assert await answers[0] == KEPT
    with pytest.raises(BrokerUnavailableError, match="full"):
        await answers[1]
    with pytest.raises(BrokerUnavailableError, match="no position"):
        await answers[2]
    assert refused == []


async def test_what_nobody_waits_for_any_more_is_not_sent(box: Backlog) -> None:
    """Who gave up on a message that still waits does not get it kept; one on its way stays on it."""
    first, second = box.ask(make("a", 400, wanted=True)), make("b")
    box.add(second)
    first.cancel()
    assert box.take() == [second]
    assert box.has_room(1000)
    third = box.ask(make("c", wanted=True))
    (keep,) = box.take()
    third.cancel()
    box.answered(keep, KEPT)
    box.answered(second, None)
    assert box.idle.is_set()


async def test_what_waits_outlives_the_link(box: Backlog, refused: Refused) -> None:
    """What was on its way is given back once, and not sent again; whoever asked for it is told."""
    box.add(make("a"))
    asked = box.ask(make("b", wanted=True))
    sent = box.take()
    waits = make("c")
    box.add(waits)
    box.due.clear()
    assert box.cut() == sent
    assert box.due.is_set()
    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await asked
    box.answered(sent[0], BrokerUnavailableError("late"))
    assert box.take() == [waits]
    assert box.cut() == [waits]
    assert box.cut() == []
    assert not box.due.is_set()
    assert refused == []


async def test_an_answer_may_be_waited_for_too_long(box: Backlog) -> None:
    """What was sent too long ago is given up, and makes room; what is younger is not."""
    box.add(make("old"))
    (old,) = box.take()
    box._under_way[old] -= 5
    box.add(make("young"))
    (young,) = box.take()
    assert box.give_up(5) == [old]
    assert box.give_up(5) == []
    assert list(box._under_way) == [young]


async def test_idle_is_when_all_is_answered(box: Backlog) -> None:
    """Neither while something waits, nor while something is on its way."""
    assert box.idle.is_set()
    box.add(make("a"))
    assert not box.idle.is_set()
    (keep,) = box.take()
    assert not box.idle.is_set()
    box.answered(keep, None)
    assert box.idle.is_set()


async def test_the_end_answers_everyone(box: Backlog) -> None:
    """Those who wait for what was sent, and for what was not."""
    answers = [box.ask(make("a", wanted=True))]
    box.take()
    answers.append(box.ask(make("b", wanted=True)))
    box.close()
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert [str(one) for one in found] == ["broker unavailable: stopped"] * 2
    assert box.take() == []
    assert box.idle.is_set()


async def test_a_mark_goes_first(box: Backlog) -> None:
    """What stands for lost ones is sent before all that waits, once for each group, even without room."""
    waits = make("a", 1000)
    box.add(waits)
    marks = [Keep(group, "channel", b"lost", POLICY, lost=True) for group in "aba"]
    for mark in marks:
        box.mark(mark)
    assert box.take() == [marks[1], marks[0], waits]
    box.mark(marks[2])
    assert box.take() == [marks[2]]
