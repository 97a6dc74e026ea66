"""Where each key and value of a YAML file stands, and the plain data that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.problems import Path, Problem


class Position(NamedTuple):
    """A place in a file, both numbers from 1, the column in characters."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True)
class Marks:
    """The positions of a file's keys and values.

    A value that came by an alias or a merge key has the position at which it is written.

    Args:
        file: The file as it was named.
        keys: Position of each key, by the path of its value.
        values: Position of each value, by its path.
        variables: Names of the environment variables that stand in a value, by its path.
    """

    file: str
    keys: Mapping[Path, Position]
    values: Mapping[Path, Position]
    variables: Mapping[Path, tuple[str, ...]]

    def of_value(self, path: Path) -> Position:
        """Return where the value stands, or the nearest one around it that is written in the file."""
        for length in range(len(path), -1, -1):
            position = self.values.get(path[:length])
            if position is not None:
                return position
        return START

    def of_key(self, path: Path) -> Position:
        """Return where the key of the value stands, or its value where it has none, as in a list."""
        return self.keys.get(path) or self.of_value(path)


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a file: its data, and what is wrong with it so far.

    Args:
        data: Plain data: `dict` with `str` keys, `list`, `str`, `int`, `float`, `bool` or None.
        marks: Where each part of it stands.
        problems: What is wrong.
        broken: Paths of the values that are not what was written, because of a problem.
    """

    data: Any
    marks: Marks
    problems: list[Problem]
    broken: frozenset[Path]

    def without_guesses(self) -> Any:
        """Give the data for a model, with what no model takes wherever nothing could be read.

        Null might be a good value there, of which rules between values would then judge.
        """
        unread = [path for path in self.broken if _at(self.data, path) is None]
        data = _copy(self.data) if unread else self.data
        for path in unread:
            if not path:
                return _UNREAD
            # A mapping or a list, since something was found in it.
            _at(data, path[:-1])[path[-1]] = _UNREAD
        return data


_UNREAD = object()


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value


def _at(value: Any, path: Path) -> Any:
    for piece in path:
        if isinstance(value, dict):
            value = value.get(piece, _UNREAD)
        elif isinstance(value, list) and isinstance(piece, int) and piece < len(value):
            value = value[piece]
        else:
            return _UNREAD
    return value
