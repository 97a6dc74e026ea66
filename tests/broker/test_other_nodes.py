from __future__ import annotations

from gateway.broker.other_nodes import _MANY, _REMEMBERED_SECONDS, OtherNodes
from gateway.broker.wire import Notice


def beat(number: int, previous: int | None = None, *, node: str = "a", link: int = 1) -> Notice:
    """Make a beat; by default it follows the notice before it."""
    return Notice(node, link, number - 1 if previous is None else previous, number, note=True)


def loss(number: int, *, link: int) -> Notice:
    """Make the notice of a loss."""
    return Notice("a", link, number - 1, number, None)


def settled(now: float = 100.0) -> OtherNodes:
    """Make the others of a node whose link was made long before a time."""
    others = OtherNodes(8.0)
    others.begin_link(now - 50)
    return others


def test_numbers_without_a_jump() -> None:
    """A node that begins, goes on, and is silent for long has lost nothing."""
    others = settled()
    assert [others.hear(beat(number), 100.0 + number) for number in (1, 2, 3)] == [None] * 3
    assert others.hear(beat(4), 10_000.0) is None


def test_a_jump_is_told_since_the_last_notice() -> None:
    """Once; what follows it is whole again."""
    others = settled()
    others.hear(beat(1), 101.0)
    assert others.hear(beat(4), 105.0) == 101.0
    assert others.hear(beat(5), 106.0) is None


def test_what_a_node_tells_of_itself_is_no_jump() -> None:
    """What was on its way when its link ended it tells itself: the next one names what had arrived before."""
    others = settled()
    others.hear(beat(7, 6), 99.0)
    assert others.hear(beat(10, 7, link=2), 101.0) is None
    assert others.hear(beat(14, 11, link=3), 102.0) == 101.0


def test_a_notice_that_comes_late_is_none() -> None:
    """It neither fills a hole nor makes one."""
    others = settled()
    others.hear(beat(5, 4), 99.0)
    assert others.hear(beat(3, link=0), 101.0) is None
    assert others.hear(beat(6), 102.0) is None
    assert others.hear(beat(8), 103.0) == 102.0


def test_a_node_that_is_heard_late_for_the_first_time() -> None:
    """It has lived behind a cut: all that it sent since this node's link was made has been missed."""
    others = settled()
    assert others.hear(beat(30), 100.0) == 50.0


def test_after_an_own_link_each_node_has_one_jump_free() -> None:
    """The gap of that link has told of it, unless the node stays unheard for longer than nodes are."""
    others = settled()
    for node in "abc":
        others.hear(beat(1, node=node), 99.0)
    others.begin_link(200.0)
    assert others.hear(beat(50, node="a"), 201.0) is None
    assert others.hear(beat(53, node="a"), 202.0) == 201.0
    assert others.hear(beat(50, node="d"), 207.0) is None
    assert others.hear(beat(50, node="b"), 208.5) == 200.0
    assert others.hear(beat(2, node="c"), 900.0) is None


def test_what_comes_through_a_former_link() -> None:
    """It is late once the next link was heard of; of a node that is unknown nothing is."""
    others = settled()
    assert not others.is_late("a", 5)
    others.hear(beat(1, link=5), 100.0)
    assert not others.is_late("a", 5)
    assert others.is_late("a", 4)
    assert not others.is_late("a", 6)
    assert others.is_late("a", 5)
    assert not others.is_late("b", 1)


def test_whether_its_node_has_told_of_it() -> None:
    """A loss that is told through a link is about what went through former ones."""
    others = settled()
    assert not others.is_told("a", 1)
    others.hear(beat(1, link=1), 100.0)
    others.hear(loss(2, link=2), 100.0)
    others.hear(beat(3, link=3), 100.0)
    assert others.is_told("a", 1)
    assert not others.is_told("a", 2)


def test_memory_is_bounded() -> None:
    """Nodes have random names and go away: those that were silent for long are forgotten, and no others."""
    others = settled()
    for number in range(3 * _MANY):
        others.hear(beat(1, node=f"n{number}"), 100.0 + number)
    assert _MANY <= len(others) <= _MANY + _REMEMBERED_SECONDS
    now = 100.0 + 3 * _MANY
    assert others.hear(beat(9, 8, node="n0"), now) == 50.0
    assert others.hear(beat(2, node=f"n{3 * _MANY - 1}"), now) is None
