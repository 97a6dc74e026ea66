"""A `ValidationError` to problems: each at its line, worded, with a hint, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gateway.config.models.base import FINDING
from gateway.config.problems import Problem, did_you_mean
from gateway.config.shapes import hint_for_key, is_secret, words_at
from gateway.config.showing import show, show_variables, sounds_secret
from gateway.config.texts import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from gateway.config.marks import Marks
    from gateway.config.models.base import Finding
    from gateway.config.problems import Path

_UNASKED = "default_factory_not_called"
_WORDS = frozenset({"literal_error", "enum"})


@dataclass(frozen=True)
class Judge:
    """What is needed to word the errors of one validation.

    Args:
        model: The model that was validated against.
        data: The plain data that was validated.
        base: Where the data stands in the file; empty for the root.
        marks: The file's positions.
        known: Paths of values that already have a problem: what else is wrong there follows from it.
    """

    model: type[BaseModel]
    data: Any
    base: Path
    marks: Marks
    known: frozenset[Path]

    def problems(self, error: ValidationError) -> list[Problem]:
        """Turn each of pydantic's errors into a problem."""
        details = error.errors(include_url=False)
        # Pydantic counts a list's good entries only, and so finds one too short whose entries are all wrong.
        around = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
        return [
            problem
            for detail in details
            if not (detail["type"] == "too_short" and detail["loc"] in around)
            for problem in self._problems_of(detail)
        ]

    def problem_of_finding(self, finding: Finding) -> Problem:
        """Turn the finding of a rule into a problem."""
        shown = self._shown(finding.path, finding.value)
        text = finding.fact if finding.value is None or shown is None else f"{finding.fact}: {shown}"
        return Problem(
            self.marks.file,
            *self.marks.of_value((*self.base, *finding.path)),
            (*self.base, *finding.path),
            text + finding.more,
            advice=finding.advice,
        )

    def _problems_of(self, detail: ErrorDetails) -> Iterator[Problem]:
        kind = detail["type"]
        path = self._place(detail)
        whole = (*self.base, *path)
        if kind == _UNASKED or any(whole[: len(known)] == known for known in self.known):
            return
        at_key = kind == "extra_forbidden" or detail["loc"][-1:] == ("[key]",)
        position = self.marks.of_key(whole) if at_key else self.marks.of_value(whole)
        value = detail.get("ctx", {}).get("value") if kind == FINDING else detail["input"]
        message = describe(detail, self._shown(path, value), self._hidden)
        advice = detail.get("ctx", {}).get("advice") if kind == FINDING else None
        hint = self._hint(kind, path, value)
        yield Problem(self.marks.file, *position, whole, message, hint, advice=advice)

    def _place(self, detail: ErrorDetails) -> Path:
        """Return the path of an error in the data; pydantic's own may add steps, such as a union's member."""
        value = self.data
        place: list[str | int] = []
        for number, piece in enumerate(detail["loc"], start=1):
            if _has(value, piece):
                value = value[piece]
            elif detail["type"] != "missing" or number < len(detail["loc"]):
                continue
            place.append(piece)
        return tuple(place)

    def _shown(self, path: Path, value: Any) -> str | None:
        if is_secret(self.model, path) or any(sounds_secret(key) for key in path):
            return None
        variables = self.marks.variables.get((*self.base, *path))
        return show(value) if variables is None else show_variables(variables, value)

    def _hint(self, kind: str, path: Path, value: Any) -> str | None:
        if kind == "extra_forbidden":
            around = self._at(path[:-1])
            return hint_for_key(self.model, path, around if isinstance(around, Mapping) else {})
        if kind in _WORDS and isinstance(value, str) and (*self.base, *path) not in self.marks.variables:
            return did_you_mean(value, words_at(self.model, path))
        return None

    def _at(self, path: Path) -> Any:
        value = self.data
        for piece in path:
            value = value[piece]
        return value

    @cached_property
    def _hidden(self) -> tuple[str, ...]:
        """The values that no message may repeat: what came from the environment, and the secrets."""
        hidden = [value for path, value in _leaves(self.data) if self._is_hidden(path)]
        return tuple(dict.fromkeys(value if isinstance(value, str) else show(value) for value in hidden))

    def _is_hidden(self, path: Path) -> bool:
        return (*self.base, *path) in self.marks.variables or is_secret(self.model, path)


def _has(value: Any, piece: str | int) -> bool:
    if isinstance(value, Mapping):
        return piece in value
    return isinstance(value, list) and isinstance(piece, int) and piece < len(value)


def _leaves(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _leaves(value, (*path, index))
    elif data is not None:
        yield path, data
