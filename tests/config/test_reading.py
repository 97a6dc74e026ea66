from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError
from gateway.config.reading import MAX_VALUES, read

ENVIRON = {"PORT": "8080", "YES": "true", "NOTHING": "", "TEXT": "a: b", "DATE": "2024-01-02", "HEX": "0x10"}


def problems(text: str) -> list[str]:
    """Return what reading a text finds wrong, as lines."""
    return [str(problem) for problem in read(text, "g", ENVIRON).problems]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("a: 1", {"a": 1}),
        ("a: [1, 1.5, true, null, ~, text, '1', \"2\"]", {"a": [1, 1.5, True, None, None, "text", "1", "2"]}),
        ("a: 2024-01-02", {"a": "2024-01-02"}),
        ("a: =\nb: <<", {"a": "=", "b": "<<"}),
        ("a: !!str 12\nb: !!int '12'", {"a": "12", "b": 12}),
        ("on: 1\n8000: 2\n1.0: 3\n'': 4", {"on": 1, "8000": 2, "1.0": 3, "": 4}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {p: 1, q: 1}\nb: {<<: *x, q: 2}", {"a": {"p": 1, "q": 1}, "b": {"p": 1, "q": 2}}),
        (
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}",
            {"a": {"p": 1}, "b": {"p": 2, "q": 2}, "c": {"p": 1, "q": 2}},
        ),
        ('"<<": 1', {"<<": 1}),
    ],
)
def test_data(text: str, data: Any) -> None:
    """YAML reads as plain data, keys always as texts."""
    reading = read(text, "g", {})
    assert reading.problems == []
    assert reading.data == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ${PORT}", 8080),
        ("a: ${NONE:-8000}", 8000),
        ("a: '${PORT}'", "8080"),
        ('a: "${PORT}"', "8080"),
        ("a: ${YES}", True),
        ("a: '${YES}'", "true"),
        ("a: ${NOTHING}", None),
        ("a: '${NOTHING}'", ""),
        ("a: ${TEXT}", "a: b"),
        ("a: ${DATE}", "2024-01-02"),
        ("a: ${HEX}", 16),
        ("a: ${PORT}0", "80800"),
        ("a: $${PORT}", "${PORT}"),
        ("a: !!int '${PORT}'", 8080),
        ("a: >-\n  ${PORT}", "8080"),
    ],
)
def test_values_from_the_environment(text: str, value: Any) -> None:
    """A plain scalar that is one reference is resolved like plain YAML; a quoted one stays a text."""
    assert read(text, "g", ENVIRON).data == {"a": value}


def test_variables_are_noted_by_path() -> None:
    """The marks tell which values came from which variables."""
    reading = read("a: ${PORT}\nb: [x, '${YES} ${PORT}', '${NONE:-d}']", "g", ENVIRON)
    assert reading.marks.variables == {("a",): ("PORT",), ("b", 1): ("YES", "PORT")}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3", ["g:3:1: a: key repeated, first written at line 1"]),
        (
            "x: {a: 1, a: 2, a: 3}",
            [
                "g:1:11: x.a: key repeated, first written at line 1",
                "g:1:17: x.a: key repeated, first written at line 1",
            ],
        ),
        ("? [a]\n: b", ["g:1:3: (file): key is not a text"]),
        ("x:\n  ~: b", ["g:2:3: x: key is empty"]),
        ("!!binary YQ==: b", ["g:1:1: (file): tag not allowed: '!!binary'"]),
        ("a: !env X", ["g:1:4: a: tag not allowed: '!env'"]),
        ("a: !!python/object:os.system x", ["g:1:4: a: tag not allowed: '!!python/object:os.system'"]),
        ("a: !!set {x}", ["g:1:4: a: tag not allowed: '!!set'"]),
        ("a: !!int x", ["g:1:4: a: value does not fit its yaml type 'int'"]),
        ("a: !!float ''", ["g:1:4: a: value does not fit its yaml type 'float'"]),
        ("a: !!bool x", ["g:1:4: a: value does not fit its yaml type 'bool'"]),
        ("a: " + "9" * 5000, ["g:1:4: a: value does not fit its yaml type 'int'"]),
        (
            f"a: {2**63}\nb: {2**63 - 1}\nc: -{2**63}",
            [
                "g:1:4: a: whole number too large, limit 63 bits and a sign",
                "g:3:4: c: whole number too large, limit 63 bits and a sign",
            ],
        ),
        ("a: &x [*x]", ["g:1:4: a[0]: alias stands inside the value that it refers to"]),
        ("a: &x {<<: *x}", ["g:1:4: a: alias stands inside the value that it refers to"]),
        ("a: {<<: 1}", ["g:1:9: a: merge key '<<' takes a mapping or a list of mappings"]),
        ('a: "\\uD800"', ["g:1:4: a: text has half of a surrogate pair"]),
        ('"\\uD800": a', ["g:1:1: (file): key has half of a surrogate pair"]),
        (
            "a: ${X}\nb: [1, '${Y}${X}']",
            [
                "g:1:4: a: environment variable not set: X",
                "g:2:8: b[1]: environment variable not set: Y",
                "g:2:8: b[1]: environment variable not set: X",
            ],
        ),
        ("a: ${X", ["g:1:4: a: '${' begins neither ${NAME} nor ${NAME:-default}; $${ stands for itself"]),
    ],
)
def test_problems(text: str, lines: list[str]) -> None:
    """What the file may not contain is told where it stands, all at once."""
    assert problems(text) == lines


@pytest.mark.parametrize(
    "step",
    ["{name}: &{name} [{uses}]\n", "{name}: &{name} {{<<: [{uses}]}}\n"],
    ids=["aliases", "merge keys"],
)
def test_alias_bomb(step: str) -> None:
    """Aliases that multiply stop at the limit, not at the end of the memory."""
    names = "abcdefghi"
    text = "a: &a {x: 1}\n" + "".join(
        step.format(name=name, uses=", ".join([f"*{before}"] * 9))
        for before, name in itertools.pairwise(names)
    )
    with pytest.raises(ConfigError, match=f"too many values once aliases are expanded, limit {MAX_VALUES}"):
        read(text, "g", {})


def test_chain_of_aliases() -> None:
    """Aliases of aliases cannot nest deeper than the stack bears."""
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))
    with pytest.raises(ConfigError, match="nested too deeply once aliases are expanded, limit 128"):
        read(text, "g", {})


def test_value_by_alias_has_the_position_where_it_is_written() -> None:
    """A problem of an alias points at the line to change."""
    marks = read("a: &x\n  p: 1\nb: *x\nc:\n  <<: *x", "g", {}).marks
    assert marks.of_value(("b", "p")) == marks.of_value(("c", "p")) == (2, 6)
    assert marks.of_key(("c", "p")) == (2, 3)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text("ab ,:[]{}#\"'\n"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab -:'"), inner),
        max_leaves=20,
    )
)
def test_data_written_as_json_comes_back(data: Any) -> None:
    """JSON is YAML, and every value reads as itself."""
    assert read(json.dumps(data), "g", {}).data == data
