"""How problems are told: for people, for programs, and for the annotations of GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import Severity, render_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config import Problem

__all__ = ["as_annotations", "as_data", "as_text"]


def as_text(problems: Iterable[Problem]) -> str:
    """Give each problem as a line, and a second one with its likely fix where there is one."""
    lines = []
    for problem in problems:
        lines.append(problem.line_without_hint)
        if problem.likely_fix is not None:
            lines.append(f"  hint: {problem.likely_fix}")
    return "\n".join(lines)


def as_data(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Give each problem as plain data for JSON."""
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "path": render_path(problem.path),
            "severity": problem.severity.value,
            "message": problem.message,
            "hint": problem.likely_fix,
        }
        for problem in problems
    ]


def as_annotations(problems: Iterable[Problem]) -> str:
    """Give each problem as a workflow command, which GitHub shows beside the line in the file."""
    return "\n".join(map(_annotation, problems))


def _annotation(problem: Problem) -> str:
    command = "warning" if problem.severity is Severity.WARNING else "error"
    message = f"{render_path(problem.path)}: {problem.message}"
    if problem.likely_fix is not None:
        message += f"\nhint: {problem.likely_fix}"
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    place = f"file={file},line={problem.line},col={problem.column}"
    return f"::{command} {place},title=gateway check::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
