"""Tests of how a node follows one group with history."""

from __future__ import annotations

from gateway.broker.contract import History, HistoryPolicy, Position, Publication
from gateway.core.tracker import Tracker, Verdict


def publication(offset: int, previous: int | None = None, epoch: str = "e") -> Publication:
    """Make a publication; the one before it is its neighbour unless told otherwise."""
    before = offset - 1 if previous is None else previous
    return Publication("room", str(offset), offset=offset, previous=before, epoch=epoch)


def history(*offsets: int, floor: int, whole: bool = True, newest: int | None = None) -> History:
    """Make what an engine answers."""
    end = newest if newest is not None else offsets[-1]
    return History(tuple(map(publication, offsets)), Position(end, "e"), floor, whole)


def tracker(position: int | None = None, size: int = 3) -> Tracker:
    """Make a tracker that knows its position."""
    made = Tracker("room", HistoryPolicy("*", size, 60))
    if position is not None:
        made.position = Position(position, "e")
    return made


def offsets(publications: list[Publication] | None) -> list[int] | None:
    """Give the offsets of publications."""
    return None if publications is None else [one.offset for one in publications]


class TestJudging:
    """Each publication is delivered once, in order."""

    def test_the_next(self) -> None:
        """The one after the position is delivered, whatever numbers lie between, and the first of all."""
        assert tracker().judge(publication(9)) is Verdict.DELIVER
        assert tracker(8).judge(publication(9)) is Verdict.DELIVER
        assert tracker(8).judge(publication(20, previous=8)) is Verdict.DELIVER
        assert tracker(8).judge(publication(20, previous=3)) is Verdict.DELIVER

    def test_repeated(self) -> None:
        """The one at the position, or before it, is known."""
        assert tracker(8).judge(publication(8)) is Verdict.REPEATED
        assert tracker(8).judge(publication(2)) is Verdict.REPEATED

    def test_a_hole(self) -> None:
        """One whose predecessor has not come shows a hole."""
        assert tracker(8).judge(publication(10)) is Verdict.HOLE

    def test_an_unknown_predecessor(self) -> None:
        """Where the predecessor is not known any more nothing shows a hole."""
        assert tracker(8).judge(publication(30, previous=0)) is Verdict.DELIVER

    def test_a_new_epoch(self) -> None:
        """One of another epoch says that the history has begun anew, also with a small offset."""
        assert tracker(8).judge(publication(1, epoch="f")) is Verdict.NEW_EPOCH


class TestMissed:
    """Who comes back gets exactly what came in between, or it is said that this cannot be told."""

    def test_nothing(self) -> None:
        """Who is at the position has missed nothing, without a look at the history."""
        assert offsets(tracker(8).missed(Position(8, "e"))) == []

    def test_without_history_at_hand(self) -> None:
        """Before the engine was asked it is not known."""
        assert tracker(8).missed(Position(7, "e")) is None

    def test_some(self) -> None:
        """What came after a position is given in order; further publications too."""
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(6, 7, 8, floor=5))
        assert offsets(followed.missed(Position(6, "e"))) == [7, 8]
        followed.advance(publication(9))
        assert offsets(followed.missed(Position(6, "e"))) == [7, 8, 9]

    def test_what_came_while_the_engine_was_asked(self) -> None:
        """Publications that came meanwhile are in it once, whether the engine's answer has them or not."""
        followed = tracker(6)
        followed.begin_mirror()
        for number in (7, 8, 9):
            followed.advance(publication(number))
        followed.mirror(history(5, 6, 7, floor=4))
        assert offsets(followed.missed(Position(6, "e"))) == [7, 8, 9]

    def test_pushed_out(self) -> None:
        """From before what the history can hold there is no answer; from its floor on there is one."""
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(6, 7, 8, floor=5, whole=True))
        followed.advance(publication(9))
        assert followed.missed(Position(5, "e")) is None
        assert offsets(followed.missed(Position(6, "e"))) == [7, 8, 9]

    def test_all_that_was_is_there(self) -> None:
        """Where the history is whole, a recent position below its floor misses nothing either."""
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(7, 8, floor=7, whole=True))
        assert offsets(followed.missed(Position(2, "e"))) == [7, 8]
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(7, 8, floor=7, whole=False))
        assert followed.missed(Position(2, "e")) is None

    def test_of_another_epoch(self) -> None:
        """A position of another epoch, or one that is yet to come, says nothing."""
        assert tracker(8).missed(Position(8, "f")) is None
        assert tracker(8).missed(Position(9, "e")) is None
        assert tracker().missed(Position(9, "e")) is None

    def test_begun_anew(self) -> None:
        """With a new epoch, or a position that is taken over, nothing of the former history is given."""
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(6, 7, 8, floor=5))
        followed.advance(publication(1, epoch="f"))
        assert followed.position == Position(1, "f")
        assert not followed.mirrored
        followed = tracker(8)
        followed.begin_mirror()
        followed.mirror(history(6, 7, 8, floor=5))
        followed.adopt(Position(20, "e"))
        assert followed.missed(Position(7, "e")) is None

    def test_asked_in_vain(self) -> None:
        """An answer that is ahead of the members, or of another epoch, is not kept."""
        followed = tracker(5)
        followed.begin_mirror()
        followed.mirror(history(6, 7, 8, floor=5))
        assert not followed.mirrored
        followed = tracker(8)
        followed.begin_mirror()
        followed.adopt(Position(9, "f"))
        followed.mirror(history(6, 7, 8, floor=5))
        assert not followed.mirrored
