from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.environment import has_lone_surrogate, substitute

ENVIRON = {"A": "one", "B_2": "two", "EMPTY": "", "NESTED": "${A}", "RAW": "\udcff"}


@pytest.mark.parametrize(
    ("text", "filled_in"),
    [
        ("plain $A $ $$ }", "plain $A $ $$ }"),
        ("${A}", "one"),
        ("<${A}|${B_2}>", "<one|two>"),
        ("${EMPTY}", ""),
        ("${NONE:-default}", "default"),
        ("${NONE:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${NONE:-a b:-c}", "a b:-c"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$${A}${A}", "${A}one"),
        ("${NESTED}", "${A}"),
    ],
)
def test_substitute(text: str, filled_in: str) -> None:
    """References are filled in once; everything else stays as it is."""
    result = substitute(text, ENVIRON)
    assert result.text == filled_in
    assert (result.unset, result.malformed, result.undecodable) == ((), False, ())


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "${1A}", "${A:?no}", "${A-b}", "${NONE:-${A}}", "${A }", "${Ä}"]
)
def test_malformed_reference(text: str) -> None:
    """A `${` that begins no reference is told, not passed on."""
    assert substitute(text, ENVIRON).malformed


def test_unset_variables_are_all_named() -> None:
    """Each unset variable is named once."""
    assert substitute("${X} ${Y} ${X} ${A}", ENVIRON).unset == ("X", "Y")


def test_variables_name_what_came_from_the_environment() -> None:
    """A default is no value of the environment, and its variable is not named."""
    assert substitute("${A} ${NONE:-x} ${B_2} ${A}", ENVIRON).variables == ("A", "B_2")


def test_value_that_is_not_utf8_is_told() -> None:
    """A variable whose bytes are not UTF-8 is named."""
    assert substitute("${RAW}", ENVIRON).undecodable == ("RAW",)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("${A}", True),
        ("${NONE:-8}", True),
        (" ${A}", False),
        ("${A}${A}", False),
        ("$${A}", False),
        ("x", False),
    ],
)
def test_whole(text: str, whole: bool) -> None:
    """Only a text of exactly one reference is whole."""
    assert substitute(text, ENVIRON).whole is whole


@given(st.text())
def test_escaped_text_comes_back(text: str) -> None:
    """Every text can be written so that it is taken literally."""
    assert substitute(text.replace("${", "$${"), {}).text == text


def test_has_lone_surrogate() -> None:
    """Half of a surrogate pair is found; a character beyond the basic plane is none."""
    assert has_lone_surrogate("a\ud800")
    assert not has_lone_surrogate("a\U0001f600")
