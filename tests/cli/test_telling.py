from __future__ import annotations

from gateway.cli.telling import as_annotations, as_data, as_text
from gateway.config import Problem, Severity

PROBLEMS = [
    Problem("g.yaml", 3, 5, ("prot",), "unknown key", "port"),
    Problem("a,b:c.yaml", 4, 1, ("a", 0), "50% done\nor not", severity=Severity.WARNING, advice="do more"),
    Problem("g.yaml", 5, 1, (), "odd"),
]


def test_as_text() -> None:
    """A likely fix stands on a line of its own, below what it is for."""
    assert as_text(PROBLEMS[::2]) == (
        "g.yaml:3:5: prot: unknown key\n  hint: did you mean 'port'?\ng.yaml:5:1: (file): odd"
    )
    assert as_text(PROBLEMS[1:2]).endswith("\n  hint: do more")


def test_as_data() -> None:
    """Every part has a name; a fix that nobody knows is null."""
    first, second, third = as_data(PROBLEMS)
    assert first == {
        "file": "g.yaml",
        "line": 3,
        "column": 5,
        "path": "prot",
        "severity": "error",
        "message": "unknown key",
        "hint": "did you mean 'port'?",
    }
    assert (second["severity"], second["hint"], third["hint"]) == ("warning", "do more", None)


def test_as_annotations() -> None:
    """What would end a command, or a part of it, is escaped as GitHub asks."""
    assert as_annotations(PROBLEMS).splitlines() == [
        (
            "::error file=g.yaml,line=3,col=5,title=gateway check::prot: unknown key%0A"
            "hint: did you mean 'port'?"
        ),
        (
            "::warning file=a%2Cb%3Ac.yaml,line=4,col=1,title=gateway check::a[0]: 50%25 done%0Aor not%0A"
            "hint: do more"
        ),
        "::error file=g.yaml,line=5,col=1,title=gateway check::(file): odd",
    ]
