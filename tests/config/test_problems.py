from __future__ import annotations

import pytest

from gateway.config import ConfigError, Problem, Severity, did_you_mean, in_order, render_path
from gateway.errors import GatewayError


@pytest.mark.parametrize(
    ("path", "rendered"),
    [
        ((), "(file)"),
        (("listen", "port"), "listen.port"),
        (("routes", 0, "handlers", 12, "name"), "routes[0].handlers[12].name"),
        ((3,), "[3]"),
        (("claims", "a b", "c"), "claims['a b'].c"),
        (("https://x/claim",), "['https://x/claim']"),
        (("房间",), "['房间']"),
        (("a\nb",), "['a\\nb']"),
        (("",), "['']"),
    ],
)
def test_render_path(path: tuple[str | int, ...], rendered: str) -> None:
    """A path renders on one line, odd keys in quotes."""
    assert render_path(path) == rendered


def test_problem_renders_as_one_line() -> None:
    """A problem begins with file, line, column and path."""
    problem = Problem("gateway.yaml", 3, 5, ("listen", "prot"), "unknown key")
    assert str(problem) == "gateway.yaml:3:5: listen.prot: unknown key"


def test_problem_renders_its_hint() -> None:
    """A problem ends with the word that was probably meant."""
    problem = Problem("g.yaml", 3, 5, ("prot",), "unknown key", "port")
    assert str(problem) == "g.yaml:3:5: prot: unknown key (did you mean 'port'?)"


def test_warning_renders_as_one() -> None:
    """A warning says before its message that it is one."""
    problem = Problem("g.yaml", 3, 5, ("key",), "ends soon", severity=Severity.WARNING)
    assert str(problem) == "g.yaml:3:5: key: warning: ends soon"


def test_error_carries_all_problems() -> None:
    """The error has a line for each problem and keeps them as a tuple."""
    problems = [Problem("g", 1, 1, ("a",), "missing"), Problem("g", 2, 1, ("b",), "missing")]
    error = ConfigError(problems)
    assert isinstance(error, GatewayError)
    assert error.problems == tuple(problems)
    assert str(error) == "g:1:1: a: missing\ng:2:1: b: missing"


def test_in_order_sorts_and_drops_repeats() -> None:
    """Problems come by line, then by column, each once."""
    first, second, third = (
        Problem("g", line, column, (), "m") for line, column in ((2, 9), (10, 1), (10, 2))
    )
    assert in_order([third, first, second, first]) == (first, second, third)


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("prot", ["host", "port"], "port"),
        ("PORT", ["port"], "port"),
        ("Eco", ["Echo", "live"], "Echo"),
        ("entirely-else", ["host", "port"], None),
        ("port", [], None),
        ("port" * 1000, ["port"], None),
    ],
)
def test_did_you_mean(word: str, candidates: list[str], meant: str | None) -> None:
    """A misspelling finds its word, whatever the case; anything else finds nothing."""
    assert did_you_mean(word, candidates) == meant
