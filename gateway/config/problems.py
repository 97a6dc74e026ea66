"""Problems of a configuration: each with its place, and the error that carries all of them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.load import Draft

Path: TypeAlias = "tuple[str | int, ...]"
"""The place of a value: the keys (`str`) and list indexes (`int`, from 0) that lead to it from the root."""

WHOLE_FILE = "(file)"
"""What a rendered problem names as its path when it is about the file rather than one value."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_\-]+")
_LONGEST_WORD = 100


class Severity(Enum):
    """How bad a problem is."""

    ERROR = "error"
    """The configuration cannot be used."""
    WARNING = "warning"
    """The configuration can be used, for now."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Args:
        file: The file as it was named on the command line.
        line: Line of the offending key or value, from 1.
        column: Column of the offending key or value, in characters, from 1.
        path: The place of the value; empty when the problem is about the whole file.
        message: What is wrong, in lower case and without a secret in it.
        hint: The word that was probably meant; None when nothing is close.
        severity: How bad it is. Default: an error.
        advice: What would mend it, where that is likely and no single word. Default: none.
    """

    file: str
    line: int
    column: int
    path: Path
    message: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    advice: str | None = None

    def __str__(self) -> str:
        hint = "" if self.hint is None else f" (did you mean {self.hint!r}?)"
        return self.line_without_hint + hint

    @property
    def line_without_hint(self) -> str:
        """What is wrong, as `file:line:column: path: message`."""
        message = f"warning: {self.message}" if self.severity is Severity.WARNING else self.message
        return f"{self.file}:{self.line}:{self.column}: {render_path(self.path)}: {message}"

    @property
    def likely_fix(self) -> str | None:
        """What would probably mend it, as a short text; None where nothing is likely."""
        return self.advice if self.hint is None else f"did you mean {self.hint!r}?"


class ConfigError(GatewayError):
    """The configuration cannot be used. Its text has one line for each problem.

    Args:
        problems: All problems that were found, at least one of them an error.
        draft: What could be read nevertheless, for further checks; None when there is nothing.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem], draft: Draft | None = None) -> None:
        self.problems = tuple(problems)
        self.draft = draft
        super().__init__("\n".join(str(problem) for problem in self.problems))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems by line and column, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))


def render_path(path: Path) -> str:
    """Render a path as `routes[0].limits.max_fragments`; a key with other characters as `claims['a b']`."""
    rendered = ""
    for piece in path:
        if isinstance(piece, int):
            rendered += f"[{piece}]"
        elif _BARE_KEY.fullmatch(piece):
            rendered += f".{piece}" if rendered else piece
        else:
            rendered += f"[{piece!r}]"
    return rendered or WHOLE_FILE


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is close enough to the word to be a misspelling of it; None if none is."""
    if len(word) > _LONGEST_WORD:
        # The comparison takes time in the square of the length, and nobody misspells so long a name.
        return None
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None
