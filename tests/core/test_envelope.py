"""Tests of envelopes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.contract import Publication
from gateway.core.envelope import Envelope, enveloped, gap_envelope, token_envelope


def test_of_a_group_with_history() -> None:
    """It names the group, the publication's place, the message, and the token."""
    text = Envelope(Publication("room:1", "hi", offset=7, previous=5, epoch="e1")).text("t0-_")
    assert text == ('{"group":"room:1","offset":7,"previous":5,"epoch":"e1","data":"hi","resume":"t0-_"}')


def test_of_a_group_without() -> None:
    """Where there is no history there are no place and no token."""
    assert json.loads(Envelope(Publication("room:1", b"\x00\xff")).text(None)) == {
        "group": "room:1",
        "data_base64": "AP8=",
    }


def test_of_a_user_and_everyone() -> None:
    """What was published to a user or to everyone says so, by the names that the API has for it."""
    assert json.loads(Envelope(Publication("$user:ann", "x")).text(None)) == {"user": "ann", "data": "x"}
    assert json.loads(Envelope(Publication("$everyone", "x")).text(None)) == {"everyone": True, "data": "x"}


def test_sent_to_one() -> None:
    """A message to one connection names no group."""
    assert json.loads(enveloped("x")) == {"data": "x"}
    assert json.loads(enveloped(bytearray(b"x"))) == {"data_base64": "eA=="}


def test_without_a_message() -> None:
    """Tokens, answers to them, and gaps come in envelopes too."""
    assert json.loads(token_envelope("t")) == {"resume": "t"}
    assert json.loads(token_envelope("t", recovered=False)) == {"recovered": False, "resume": "t"}
    assert json.loads(token_envelope(None, recovered=True)) == {"recovered": True}
    assert json.loads(gap_envelope("room", "t")) == {"gap": True, "group": "room", "resume": "t"}
    assert json.loads(gap_envelope(None, None)) == {"gap": True}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text(group: str, message: str) -> None:
    """Whatever names and messages hold comes out as it went in."""
    envelope = json.loads(Envelope(Publication("g" + group, message, offset=1)).text("t"))
    assert (envelope["group"], envelope["data"]) == ("g" + group, message)
