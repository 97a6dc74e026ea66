"""Tests of texts that are good as they are, and were probably meant otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.app.prepare import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VARIABLE = "warning: text is taken as it is, and looks like a variable (a variable is written ${NAME})"
PARAMETER = "warning: segment is taken as it is, and looks like a parameter"
WRITTEN = "(a parameter is written {name}, and is one whole segment)"


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that judges a text; it gives what is said, each with its advice."""

    def told(text: str, **environ: str) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        found = judge(file, environ).problems
        lines = [str(one) if one.advice is None else f"{one} ({one.advice})" for one in found]
        return [line.removeprefix(f"{file}:") for line in lines]

    return told


@pytest.mark.parametrize("text", ["$NATS_TOKEN", "$(NATS_TOKEN)"])
def test_variables_of_elsewhere(told, text: str) -> None:
    """What a shell or Kubernetes would fill in is a secret that anybody can guess; it is not repeated."""
    assert told(f"broker: {{type: nats, token: {text}}}") == [f"1:29: broker.token: {VARIABLE}"]
    # Beside other errors too.
    *_, last = told(f"{{lisen: {{}}, broker: {{type: nats, token: {text}}}}}")
    assert last == f"1:41: broker.token: {VARIABLE}"


@pytest.mark.parametrize("text", ["${X}", "a$NATS_TOKEN", "$nats", "$1", "$", "$${X}"])
def test_other_texts(told, text: str) -> None:
    """A variable that was filled in, whatever it holds, and texts of another shape, are left alone."""
    assert told(f"broker: {{type: nats, token: '{text}'}}", X="$NATS_TOKEN") == []


def test_parameters_of_elsewhere(told) -> None:
    """Colons and stars before or in a segment mean nothing in a path."""
    text = "routes: [{path: '/a/:id'}, {path: '/b/*'}, {path: '/c/x:y'}, {path: '/d/{id}'}]"
    assert told(text) == [
        f"1:17: routes[0].path: {PARAMETER}: ':id' {WRITTEN}",
        f"1:35: routes[1].path: {PARAMETER}: '*' {WRITTEN}",
    ]
