from __future__ import annotations

from typing import Any

import pytest

from gateway.config.showing import show, show_variables, sounds_secret


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (1.5, "1.5"),
        ("a\nb", "'a\\nb'"),
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, "a text of 61 characters"),
        ([1], "a list"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_show(value: Any, shown: str) -> None:
    """A short value is shown on one line, a long one described."""
    assert show(value) == shown


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("hush", "a text"),
        (12, "a number"),
        (1.5, "a number"),
        (True, "true or false"),
        ("", "empty"),
        (None, "empty"),
    ],
)
def test_show_variables(value: Any, kind: str) -> None:
    """A value from the environment is named by its variables and its type."""
    assert show_variables(("A", "B"), value) == f"the value of $A and $B ({kind})"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("token", True),
        ("api_key", True),
        ("key", True),
        ("Password", True),
        ("keyboard", False),
        ("port", False),
        (0, False),
    ],
)
def test_sounds_secret(key: str | int, secret: bool) -> None:
    """Keys that suggest a secret are known by their names."""
    assert sounds_secret(key) is secret
