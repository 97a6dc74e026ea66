from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.config.models.base import Finding
from gateway.config.texts import describe


def error(kind: str, message: str = "", /, **context: Any) -> ErrorDetails:
    """Make an error as pydantic does."""
    return {"type": kind, "loc": (), "msg": message, "input": "x", "ctx": context}


def test_limit_stands_behind_the_value() -> None:
    """The fact comes first, then the value, then the limit, whole numbers without a fraction."""
    assert describe(error("less_than_equal", le=86400.0), "99999", ()) == "too large: 99999, at most 86400"


def test_known_type_without_its_context() -> None:
    """A plugin's error of a known type but without context is still worded."""
    assert describe(error("less_than_equal"), "9", ()) == "too large: 9, at most ?"


def test_secret_is_left_out() -> None:
    """Where the value is not for showing, the fact stands alone."""
    assert describe(error("string_too_short", min_length=1), None, ()) == "too short, at least 1 characters"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Value is odd.", "value is odd"),
        ("URL is odd", "URL is odd"),
        ("Two\n lines", "two lines"),
        ("", "refused by its own check: 'x'"),
    ],
)
def test_text_of_a_plugin(message: str, text: str) -> None:
    """A plugin's own text is put on one line in lower case."""
    assert describe(error("value_error", error=ValueError(message)), "'x'", ()) == text


@pytest.mark.parametrize(
    "message", ["bad: hunter2", "bad: HUNTER2", "bad: 'hunter2'", "unknown host hunter2.example", "bad: tail"]
)
def test_text_of_a_plugin_that_gives_a_secret_away(message: str) -> None:
    """A plugin's own text that repeats a hidden value, or a word of it, is replaced."""
    details = error("value_error", error=ValueError(message))
    assert describe(details, "the value of $X (a text)", ("hunter2 tail",)) == (
        "refused by its own check: the value of $X (a text)"
    )


def test_short_hidden_value_counts_as_a_word() -> None:
    """A hidden value of one or two characters hides only texts in which it stands by itself."""
    assert describe(error("x", "Value is odd"), None, ("a",)) == "value is odd"
    assert describe(error("x", "Value is 7"), None, ("7",)) == "refused by its own check"


def test_finding_shows_its_value_as_told() -> None:
    """A rule's own error takes the value as it may be shown, not as it is."""
    made = Finding((), "bad origin", "hush", ", limit 1").error()
    assert isinstance(made, PydanticCustomError)
    details = error(made.type, **(made.context or {}))
    assert (
        describe(details, "the value of $X (a text)", ()) == "bad origin: the value of $X (a text), limit 1"
    )
    assert describe(details, None, ()) == "bad origin, limit 1"
