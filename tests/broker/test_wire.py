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
from gateway.broker.wire import VERSION, Wire, WireError

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
    read = OTHER.read_publications(data, "g")
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
    """What one node writes another reads, with the same types."""
    read = OTHER.read_notice(WIRE.note(note))
    assert read == note
    assert repr(read) == repr(note)


def test_a_loss_is_told_apart_from_a_note() -> None:
    """An empty note is one; only a loss has none."""
    assert OTHER.read_notice(WIRE.note({})) == {}
    assert OTHER.read_notice(WIRE.loss()) is None


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_junk_is_thrown_away(data: bytes) -> None:
    """Whatever bytes come, the reader gives plain publications or says why it does not."""
    for message in (data, bytes([VERSION]) + data, WIRE.loss()[:-1] + data):
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
        assert all(type(one.message) in {str, bytes} for one in read)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        ["n"],
        ["n", None],
        ["n", [], "more"],
        [7, []],
        {"node": "n"},
        ["n", ["x"]],
        ["n", [["x"]]],
        ["n", [["x", None]]],
        ["n", [["x", None, None, None]]],
        ["n", [[None, None, None]]],
        ["n", [[7, None, None]]],
        ["n", [[["x"], None, None]]],
        ["n", [[{"x": "y"}, None, None]]],
        ["n", [[True, None, None]]],
        ["n", [["x", 7, None]]],
        ["n", [["x", None, b"key"]]],
        ["n", [[dt.datetime.now(dt.UTC), None, None]]],
        ["n", [[msgspec.msgpack.Ext(5, b"x"), None, None]]],
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
        {1: "x"},
        {"x": {1: "x"}},
        {"x": b"bytes"},
        {"x": [dt.datetime.now(dt.UTC)]},
        {"x": [msgspec.msgpack.Ext(5, b"x")]},
    ],
)
def test_notes_that_are_no_plain_data_are_junk(note: Any) -> None:
    """What msgpack has beyond plain data is not taken."""
    assert reason(WIRE.read_notice, encode(["n", note])) == "junk"


@pytest.mark.parametrize(
    "data",
    [
        b"\x92\xa1n\xdd\xff\xff\xff\xff",
        b"\x92\xdb\xff\xff\xff\xffabc",
        b"\x92\xa1n\x91\x93\xc6\xff\xff\xff\xff",
        b"\x92\xa1n\xdf\xff\xff\xff\xff",
        b"\x92\xa1n\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x92\xa1n\x81\xa1a" + b"\x91" * 4000,
        b"\x92\xa1n\x91" + b"\x91" * 4000,
        b"\x92\xa1n\x81\xa1a\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x92\xa1\xff\x90",
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
    assert WIRE.read_publications(data, "g")
    assert reason(WIRE.read_publications, data + b"\x00", "g") == "too_big"
    assert reason(WIRE.read_notice, b"\xff" * 4097) == "too_big"


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_another_version_is_told_apart(version: int) -> None:
    """A node of another version is not taken for a broken one."""
    data = bytes([version]) + WIRE.loss()[1:]
    assert reason(OTHER.read_notice, data) == "version"
    assert reason(OTHER.read_publications, data, "g") == "version"
    assert reason(OTHER.read_notice, b"") == "junk"


def test_own_messages_are_known() -> None:
    """By the node's name, whole: a name that begins like it is another's."""
    longer = Wire("12-abc", 4096)
    for data in (WIRE.loss(), WIRE.note({}), WIRE.publications([])):
        assert WIRE.is_own(data)
        assert not OTHER.is_own(data)
        assert not longer.is_own(data)
    assert not WIRE.is_own(longer.loss())
    assert not WIRE.is_own(b"")


def test_a_text_that_is_none_is_refused_where_it_is_made() -> None:
    """Half of a surrogate pair has no form in UTF-8."""
    with pytest.raises(ValueError, match="surrogates"):
        WIRE.pack(Publication("g", "\ud800"))
    with pytest.raises(ValueError, match="surrogates"):
        WIRE.note({"x": "\ud800"})


def test_a_note_without_an_end_is_refused() -> None:
    """A list that holds itself, and one that is very deep."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="cannot travel"):
        WIRE.note({"x": endless})


def test_the_form_is_as_it_was() -> None:
    """Nodes of one version understand each other: whoever changes these bytes changes the version."""
    packed = [WIRE.pack(Publication("g", "é", "c-1", "k")), WIRE.pack(Publication("g", b"\xff"))]
    head = b"\x01\x92\xa512-ab"
    assert WIRE.publications(packed) == head + b"\x92\x93\xa2\xc3\xa9\xa3c-1\xa1k\x93\xc4\x01\xff\xc0\xc0"
    assert WIRE.note({"a": 1}) == head + b"\x81\xa1a\x01"
    assert WIRE.loss() == head + b"\xc0"
