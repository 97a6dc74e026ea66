from __future__ import annotations

import pytest

from gateway.broker.channels import Channels
from gateway.broker.contract import Publication
from gateway.broker.outbox import BATCH_BYTES, Outbox
from gateway.broker.wire import Wire

WIRE = Wire("one", 1_000_000)
CHANNELS = Channels("x", "one")


@pytest.fixture
def outbox() -> Outbox:
    """An outbox with room for a thousand bytes."""
    return Outbox(WIRE, CHANNELS, 1000)


def add(outbox: Outbox, channel: str, *messages: str) -> list[bool]:
    """Add publications; tell which of them there was room for."""
    return [outbox.add(channel, WIRE.pack(Publication("", message))) for message in messages]


def sent(outbox: Outbox) -> list[tuple[str, list[str]]]:
    """Take everything; give the channel and the messages of each message that would be sent."""
    found = []
    while outbox:
        batch = outbox.take()
        publications = 0
        for channel, data in batch.messages:
            if channel == CHANNELS.notices:
                found.append((channel, [str(WIRE.read_notice(data).note)]))
            else:
                messages = [str(one.message) for one in WIRE.read_publications(data, "").publications]
                found.append((channel, messages))
                publications += len(messages)
        assert publications == batch.publications
    return found


def test_publications_that_follow_each_other_share_a_message(outbox: Outbox) -> None:
    """Those of one group, and only if nothing to another comes between: the order over groups holds."""
    add(outbox, "a", "1", "2")
    add(outbox, "b", "3")
    add(outbox, "a", "4")
    outbox.add_notice(WIRE.pack_note({"n": 5}))
    add(outbox, "a", "6", "7")
    assert sent(outbox) == [
        ("a", ["1", "2"]),
        ("b", ["3"]),
        ("a", ["4"]),
        (CHANNELS.notices, ["{'n': 5}"]),
        ("a", ["6", "7"]),
    ]
    assert not outbox


def test_a_message_holds_only_so_much(outbox: Outbox) -> None:
    """A run of publications is cut into messages of at most `batch_bytes`; a longer one travels alone."""
    outbox.batch_bytes = 100
    add(outbox, "a", *("x" * 40 for _ in range(5)), "y" * 200, "z")
    assert [[len(one) for one in messages] for _, messages in sent(outbox)] == [
        [40, 40],
        [40, 40],
        [40],
        [200],
        [1],
    ]


def test_what_is_taken_at_once_is_bounded() -> None:
    """A long queue leaves in parts, so that other things find their turn."""
    outbox = Outbox(WIRE, CHANNELS, 10 * BATCH_BYTES)
    for number in range(10):
        add(outbox, str(number), "x" * (BATCH_BYTES // 2))
    assert len(outbox.take().messages) == 2
    assert outbox


def test_room_comes_back_as_messages_leave(outbox: Outbox) -> None:
    """The limit holds for what waits."""
    assert add(outbox, "a", "x" * 900, "y" * 200) == [True, False]
    sent(outbox)
    assert add(outbox, "a", "x" * 900) == [True]


def test_a_loss_is_told_where_it_was(outbox: Outbox) -> None:
    """A notice stands in the place of what found no room, one for all that follow each other."""
    assert add(outbox, "a", "1" * 900, "2" * 200, "3" * 200, "4") == [True, False, False, True]
    assert add(outbox, "b", "5" * 200) == [False]
    told = (CHANNELS.notices, ["None"])
    assert sent(outbox) == [("a", ["1" * 900]), told, ("a", ["4"]), told]


def test_the_end_of_a_connection_leaves_notices_only(outbox: Outbox) -> None:
    """Publications are lost, and that is told; notes wait for the next connection."""
    add(outbox, "a", "1", "2")
    outbox.add_notice(WIRE.pack_note({"n": 1}))
    add(outbox, "a", "3")
    assert outbox.cut() == 3
    assert sent(outbox) == [(CHANNELS.notices, ["{'n': 1}"]), (CHANNELS.notices, ["None"])]
    assert outbox.cut() == 0
    assert not outbox
    assert outbox.has_room(1000)


def test_a_loss_that_was_not_told_yet_is_told_later(outbox: Outbox) -> None:
    """The notice of a loss outlives connections that end before it leaves."""
    outbox.note_loss()
    outbox.note_loss()
    assert outbox.cut() == 0
    assert sent(outbox) == [(CHANNELS.notices, ["None"])]
    assert outbox.cut() == 0
    assert not outbox


def test_notices_are_numbered(outbox: Outbox) -> None:
    """Each names the one before it, and the first of a link the last one that nobody may lack."""

    def numbers(data: bytes) -> tuple[int, int, int]:
        notice = WIRE.read_notice(data)
        return notice.link, notice.previous, notice.number

    outbox.begin_link(1)
    assert numbers(outbox.beat()[1]) == (1, 0, 1)
    for _ in range(2):
        outbox.add_notice(WIRE.pack_note({}))
    assert [numbers(data) for _, data in outbox.take().messages] == [(1, 1, 2), (1, 2, 3)]
    assert numbers(outbox.beat()[1]) == (1, 3, 4)
    outbox.begin_link(2)  # the notes may have arrived, or not; the beat is no loss
    assert numbers(outbox.beat()[1]) == (2, 3, 5)
    outbox.prove(outbox.number)
    outbox.note_loss()
    outbox.begin_link(3)
    outbox.begin_link(4)
    assert [numbers(data) for _, data in outbox.take().messages] == [(4, 5, 6)]
    outbox.begin_link(5)
    assert [numbers(outbox.beat()[1]) for _ in range(2)] == [(5, 6, 7), (5, 7, 8)]


def test_notices_are_bounded(outbox: Outbox) -> None:
    """They have a limit of their own, of a megabyte."""
    assert outbox.has_room_for_notice(1_048_576)
    assert not outbox.has_room_for_notice(1_048_577)
    outbox.add_notice(b"x" * 1_000_000)
    assert not outbox.has_room_for_notice(100_000)
    outbox.take()
    assert outbox.has_room_for_notice(1_048_576)


@pytest.mark.parametrize(
    "fill", [lambda box: add(box, "a", "1"), lambda box: box.add_notice(b"x"), Outbox.note_loss]
)
def test_whoever_waits_is_woken(outbox: Outbox, fill: object) -> None:
    """Each thing that comes in wakes the sender."""
    assert not outbox.filled.is_set()
    fill(outbox)  # type: ignore[operator]
    assert outbox.filled.is_set()
