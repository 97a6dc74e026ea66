from __future__ import annotations

import datetime as dt
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.broker.contract import Publication
from gateway.broker.link import Place
from gateway.broker.wire import BEAT, LOSS, VERSION, Notice, Wire, WireError

WIRE = Wire("12-ab", 4096)
OTHER = Wire("13-cd", 4096)
TEXTS = st.text(max_size=50)
IDS = st.none() | st.text(max_size=20)
MESSAGES = TEXTS | st.binary(max_size=50)
PUBLICATIONS = st.tuples(MESSAGES, IDS, IDS).map(lambda parts: Publication("g", *parts))
PLACES = st.builds(Place, st.integers(1, 2**63), st.integers(0, 2**63), TEXTS)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
NOTES = st.dictionaries(TEXTS, PLAIN, max_size=4)


def encode(value: Any) -> bytes:
    """Make a message of anything that msgpack has a form for."""
    return bytes([VERSION]) + msgspec.msgpack.encode(value)


def reason(read: Any, *arguments: Any) -> str:
    """Give the reason for which a message is thrown away."""
    with pytest.raises(WireError) as caught:
        read(*arguments)
    return caught.value.reason


@given(st.lists(PUBLICATIONS, max_size=20))
def test_publications_travel(publications: list[Publication]) -> None:
    """What one node writes another reads: the same publications in order, texts as texts, bytes as bytes."""
    data = WIRE.publications([WIRE.pack(publication) for publication in publications])
    node, link, read = OTHER.read_publications(data, "g")
    assert (node, link) == ("12-ab", 0)
    assert read == publications
    assert [type(one.message) for one in read] == [type(one.message) for one in publications]


@given(st.lists(PUBLICATIONS, max_size=20))
def test_the_size_is_known_before(publications: list[Publication]) -> None:
    """A message is never longer than what is packed into it and the overhead."""
    packed = [WIRE.pack(publication) for publication in publications]
    assert len(WIRE.publications(packed)) <= sum(map(len, packed)) + WIRE.overhead


@given(PUBLICATIONS, PLACES)
def test_what_is_kept_comes_with_its_place(publication: Publication, place: Place) -> None:
    """A message of one publication reads as it was made; offset and epoch are those that came beside it."""
    data = WIRE.publication(WIRE.pack(publication))
    assert data == WIRE.publications([WIRE.pack(publication)])
    offset, previous, epoch = place
    expected = publication._replace(offset=offset, previous=previous, epoch=epoch)
    assert OTHER.read_kept(data, "g", place) == expected


def test_what_is_kept_may_stand_for_lost_ones() -> None:
    """Such a message holds nothing but its place."""
    expected = Publication("g", "", None, None, 5, 3, "e", lost=True)
    assert OTHER.read_kept(WIRE.lost(), "g", Place(5, 3, "e")) == expected


def test_what_is_kept_is_one_publication() -> None:
    """Several have no place, and one before the first offset has none either."""
    packed = [WIRE.pack(Publication("g", message)) for message in ("a", "b")]
    assert reason(OTHER.read_kept, WIRE.publications(packed), "g", Place(1, 0, "e")) == "junk"
    assert reason(OTHER.read_kept, WIRE.publication(WIRE.pack(Publication("g", "a"))), "g", Place(0, 0, "e"))


@given(NOTES)
def test_notes_travel(note: dict[str, Any]) -> None:
    """What one node writes another reads, with the same types; its size is known before."""
    packed = WIRE.pack_note(note)
    data = WIRE.notice(6, 7, packed)
    assert len(data) == len(packed) + WIRE.notice_overhead
    read = OTHER.read_notice(data)
    assert read == Notice("12-ab", 0, 6, 7, note)
    assert repr(read.note) == repr(note)


def test_a_loss_and_a_beat_are_told_apart_from_a_note() -> None:
    """An empty note is one."""
    assert OTHER.read_notice(WIRE.notice(0, 1, WIRE.pack_note({}))).note == {}
    assert OTHER.read_notice(WIRE.notice(0, 1, LOSS)).note is None
    assert OTHER.read_notice(WIRE.notice(0, 1, BEAT)).note is True


def test_every_message_says_through_which_link_it_went() -> None:
    """The form keeps its length, however high the number is."""
    wire = Wire("12-ab", 4096)
    packed = [wire.pack(Publication("g", "x"))]
    before = len(wire.publications(packed))
    wire.begin_link(4_000_000_000)
    assert len(wire.publications(packed)) == before
    assert OTHER.read_publications(wire.publications(packed), "g").link == 4_000_000_000
    assert OTHER.read_notice(wire.notice(8, 9, BEAT)) == Notice("12-ab", 4_000_000_000, 8, 9, note=True)
    assert WIRE.is_own(wire.publications(packed))


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_junk_is_thrown_away(data: bytes) -> None:
    """Whatever bytes come, the reader gives plain publications or says why it does not."""
    for message in (data, bytes([VERSION]) + data, WIRE.notice(0, 1, b"") + data):
        for read in (OTHER.read_notice, lambda message: OTHER.read_publications(message, "g")):
            try:
                read(message)
            except WireError as exc:
                assert exc.reason in {"junk", "version"}  # noqa: PT017 - one of two ends


@given(st.lists(PUBLICATIONS, min_size=1, max_size=5), st.data())
def test_a_damaged_message_does_no_harm(publications: list[Publication], data: st.DataObject) -> None:
    """A message with a byte changed, cut off or inserted is thrown away, or is another good one."""
    good = WIRE.publications([WIRE.pack(publication) for publication in publications])
    at = data.draw(st.integers(0, len(good) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    for bad in (good[:at] + byte + good[at + 1 :], good[:at], good[:at] + byte + good[at:]):
        try:
            read = OTHER.read_publications(bad, "g")
        except WireError:
            continue
        assert all(type(one.message) in {str, bytes} for one in read.publications)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        ["n", 1],
        ["n", 1, None],
        ["n", 1, [], "more"],
        [7, 1, []],
        ["n", "1", []],
        ["n", -1, []],
        ["n", 1 << 32, []],
        ["n", []],
        {"node": "n"},
        ["n", 1, ["x"]],
        ["n", 1, [["x"]]],
        ["n", 1, [["x", None]]],
        ["n", 1, [["x", None, None, None]]],
        ["n", 1, [[None, None, None]]],
        ["n", 1, [[7, None, None]]],
        ["n", 1, [[["x"], None, None]]],
        ["n", 1, [[{"x": "y"}, None, None]]],
        ["n", 1, [[True, None, None]]],
        ["n", 1, [["x", 7, None]]],
        ["n", 1, [["x", None, b"key"]]],
        ["n", 1, [[dt.datetime.now(dt.UTC), None, None]]],
        ["n", 1, [[msgspec.msgpack.Ext(5, b"x"), None, None]]],
    ],
)
def test_wrong_shapes_are_junk(value: Any) -> None:
    """A message of a group has exactly one shape."""
    assert reason(WIRE.read_publications, encode(value), "g") == "junk"


@pytest.mark.parametrize(
    "note",
    [
        7,
        [],
        False,
        {1: "x"},
        {"x": {1: "x"}},
        {"x": b"bytes"},
        {"x": [dt.datetime.now(dt.UTC)]},
        {"x": [msgspec.msgpack.Ext(5, b"x")]},
    ],
)
def test_notes_that_are_no_plain_data_are_junk(note: Any) -> None:
    """What msgpack has beyond plain data is not taken."""
    assert reason(WIRE.read_notice, encode(["n", 1, 1, 2, note])) == "junk"


@pytest.mark.parametrize(
    "head", [["n", 1], ["n", 1, 2], ["n", 1, 2, 2], ["n", 1, 3, 2], ["n", 1, -1, 2], [1, 1, 1, 2]]
)
def test_heads_of_notices_that_are_none_are_junk(head: list[Any]) -> None:
    """A notice has a node, the number of its link, and one of its own, above that of the one before."""
    assert reason(WIRE.read_notice, encode([*head, {}])) == "junk"


@pytest.mark.parametrize(
    "data",
    [
        b"\x93\xa1n\x01\xdd\xff\xff\xff\xff",
        b"\x93\xdb\xff\xff\xff\xffabc",
        b"\x93\xa1n\x01\x91\x93\xc6\xff\xff\xff\xff",
        b"\x95\xa1n\x01\x01\x02\xdf\xff\xff\xff\xff",
        b"\x95\xa1n\x01\x01\x02\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x95\xa1n\x01\x01\x02\x81\xa1a" + b"\x91" * 4000,
        b"\x93\xa1n\x01\x91" + b"\x91" * 4000,
        b"\x95\xa1n\x01\x01\x02\x81\xa1a\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x93\xa1\xff\x01\x90",
        b"\xc1",
    ],
)
def test_lengths_that_lie_cost_nothing(data: bytes) -> None:
    """A length of four gigabytes and a depth of thousands are junk at once, without memory for them."""
    tracemalloc.start()
    assert reason(WIRE.read_publications, bytes([VERSION]) + data, "g") == "junk"
    assert reason(WIRE.read_notice, bytes([VERSION]) + data) == "junk"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_too_big_is_told_before_reading() -> None:
    """At the limit a message is read, one byte above it is not looked at."""
    good = OTHER.publications([OTHER.pack(Publication("g", b"x" * 4000))])
    data = OTHER.publications([OTHER.pack(Publication("g", b"x" * (4000 + 4096 - len(good))))])
    assert len(data) == 4096
    assert WIRE.read_publications(data, "g").publications
    assert reason(WIRE.read_publications, data + b"\x00", "g") == "too_big"
    assert reason(WIRE.read_notice, b"\xff" * 4097) == "too_big"


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_another_version_is_told_apart(version: int) -> None:
    """A node of another version is not taken for a broken one."""
    data = bytes([version]) + WIRE.notice(0, 1, LOSS)[1:]
    assert reason(OTHER.read_notice, data) == "version"
    assert not WIRE.is_own(data)
    assert reason(OTHER.read_publications, data, "g") == "version"
    assert reason(OTHER.read_notice, b"") == "junk"


def test_own_messages_are_known() -> None:
    """By the node's name, whole: a name that begins like it is another's."""
    longer = Wire("12-abc", 4096)
    for data in (WIRE.notice(0, 1, LOSS), WIRE.lost(), WIRE.publications([])):
        assert WIRE.is_own(data)
        assert not OTHER.is_own(data)
        assert not longer.is_own(data)
    assert not WIRE.is_own(longer.publications([]))
    assert not WIRE.is_own(b"")
    assert WIRE.is_beat(WIRE.notice(0, 1, BEAT))
    assert not WIRE.is_beat(WIRE.notice(0, 1, WIRE.pack_note({"x": True})))
    assert not WIRE.is_beat(WIRE.notice(0, 1, LOSS))


def test_a_text_that_is_none_is_refused_where_it_is_made() -> None:
    """Half of a surrogate pair has no form in UTF-8."""
    with pytest.raises(ValueError, match="surrogates"):
        WIRE.pack(Publication("g", "\ud800"))
    with pytest.raises(ValueError, match="surrogates"):
        WIRE.pack_note({"x": "\ud800"})


def test_a_note_without_an_end_is_refused() -> None:
    """A list that holds itself, and one that is very deep."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="cannot travel"):
        WIRE.pack_note({"x": endless})


def test_the_form_is_as_it_was() -> None:
    """Nodes of one version understand each other: whoever changes these bytes changes the version."""
    packed = [WIRE.pack(Publication("g", "é", "c-1", "k")), WIRE.pack(Publication("g", b"\xff"))]
    wire = Wire("12-ab", 4096)
    wire.begin_link(7)
    name = b"\xa512-ab\xce\x00\x00\x00\x07"
    assert wire.publications(packed) == b"\x02\x93" + name + (
        b"\x92\x93\xa2\xc3\xa9\xa3c-1\xa1k\x93\xc4\x01\xff\xc0\xc0"
    )
    head = b"\x02\x95" + name + b"\xce\x00\x00\x00\x02\xce\x00\x00\x00\x03"
    assert wire.notice(2, 3, wire.pack_note({"a": 1})) == head + b"\x81\xa1a\x01"
    assert wire.notice(2, 3, LOSS) == head + b"\xc0"
    assert wire.notice(2, 3, BEAT) == head + b"\xc3"
