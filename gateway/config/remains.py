"""What is good of a configuration with errors, so that the files it names are judged together with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from gateway.config.judge import Judge
from gateway.config.load import Draft, Loaded
from gateway.config.models import GatewayConfig
from gateway.config.shapes import keys_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.problems import Path

# What is left of these would mean something else: an issuer without a key, a broker without its TLS.
_WHOLE: Final[Mapping[str, int]] = {"authentication": 2, "broker": 1, "resume": 1}
_MOST_TURNS: Final = 50
_NOTHING: Final = object()


@dataclass(frozen=True, repr=False)
class Remains(Loaded):
    """A configuration without its errors, whose problems point at what the file says nevertheless.

    Args:
        left_out: The places of what was wrong, and is not in `config`.
        indexes: Of each list that lost entries, the indexes in the file of those that are left.
    """

    left_out: frozenset[Path]
    indexes: Mapping[Path, tuple[int, ...]]

    def lacks(self, *places: Path) -> bool:
        """Tell whether one of the places, or something in it or around it, was left out."""
        return any(
            place[: len(one)] == one or one[: len(place)] == place
            for place in places
            for one in self.left_out
        )

    def place(self, path: Path) -> Path:
        """Give the place in the file of a value that stands at a path of `config`."""
        return _in_file(path, self.indexes)


def remains_of(draft: Draft) -> Remains | None:
    """Give what is good of a configuration that has errors; None where that cannot be told."""
    left_out: set[Path] = set()
    found = set(draft.bad)
    for _ in range(_MOST_TURNS):
        for path in found:
            place = _place(draft.data, path)
            while place in left_out:
                place = place[:-1]  # what was left out is missing now, so that what is around it goes too
            if not place:
                return None
            left_out.add(place)
        indexes: dict[Path, tuple[int, ...]] = {}
        data = _without(draft.data, frozenset(left_out), (), (), indexes)
        try:
            config = GatewayConfig.model_validate(data or {}, context={"folder": draft.folder})
        except ValidationError as error:
            judge = Judge(GatewayConfig, data, (), draft.marks, frozenset())
            found = {_in_file(problem.path, indexes) for problem in judge.problems(error)}
            continue
        whole = (draft.marks, draft.data, draft.bad, draft.folder)
        return Remains(*whole, config, frozenset(left_out), indexes)
    return None


def _entry(value: Any, piece: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(piece, _NOTHING)
    if isinstance(value, list) and isinstance(piece, int) and piece < len(value):
        return value[piece]
    return _NOTHING


def _place(data: Any, path: Path) -> Path:
    """Give the place to leave out for an error: that of the value, or of what it is missing in."""
    value = data
    for length, piece in enumerate(path):
        value = _entry(value, piece)
        if value is _NOTHING:
            path = path[:length]
            break
    whole = _WHOLE.get(str(path[0]), len(path)) if path else 0
    if len(path) > whole:
        known = keys_at(GatewayConfig, path[:-1])
        if not known or path[-1] in known:
            return path[:whole]
    return path


def _without(
    value: Any, left_out: frozenset[Path], place: Path, path: Path, indexes: dict[Path, tuple[int, ...]]
) -> Any:
    """Copy a value without some of its parts.

    Args:
        value: The value.
        left_out: Places in the file of what is left out.
        place: Where the value stands in the file.
        path: Where it stands in the copy.
        indexes: Gets the former indexes of lists that lose entries.
    """
    if isinstance(value, dict):
        return {
            key: _without(one, left_out, (*place, key), (*path, key), indexes)
            for key, one in value.items()
            if (*place, key) not in left_out
        }
    if isinstance(value, list):
        kept = tuple(index for index in range(len(value)) if (*place, index) not in left_out)
        if len(kept) < len(value):
            indexes[path] = kept
        return [
            _without(value[index], left_out, (*place, index), (*path, number), indexes)
            for number, index in enumerate(kept)
        ]
    return value


def _in_file(path: Path, indexes: Mapping[Path, tuple[int, ...]]) -> Path:
    place: list[str | int] = []
    for length, piece in enumerate(path):
        kept = indexes.get(path[:length])
        known = kept is not None and isinstance(piece, int) and piece < len(kept)
        place.append(kept[piece] if known and kept is not None and isinstance(piece, int) else piece)
    return tuple(place)
