"""Routes of which one takes some of the other's paths, though neither is the more special one."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

from gateway.config import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Loaded, Problem

__all__ = ["overlapping_routes", "shape_of_segments"]

Shape: TypeAlias = "tuple[str | None, ...]"
"""The segments of a path, `None` for a parameter."""


def overlapping_routes(loaded: Loaded) -> Iterator[Problem]:
    """Find paths that fit two routes where it is not plain which one is meant.

    `/chat/lobby` beside `/chat/{room}` is plain: the special one goes first. `/{tenant}/live` beside
    `/acme/{page}` is not: `/acme/live` fits both.
    """
    shapes = [shape_of_segments(route.path) for route in loaded.config.routes]
    for first, second in sorted(_overlapping(shapes)):
        pairs = list(zip(shapes[first], shapes[second], strict=True))
        common = "/".join(str(a if a is not None else b or "x") for a, b in pairs)
        # The router goes from left to right, and takes a segment as it is before a parameter.
        first_wins = next(a is not None for a, b in pairs if (a is None) != (b is None))
        taker, loser = (first, second) if first_wins else (second, first)
        shown = [
            loaded.show(("routes", index, "path"), loaded.config.routes[index].path)
            for index in (taker, loser)
        ]
        yield loaded.problem(
            ("routes", second, "path"),
            f"path fits another route too: {common} goes to {shown[0]}, not to {shown[1]}",
            severity=Severity.WARNING,
        )


def _overlapping(shapes: list[Shape]) -> Iterator[tuple[int, int]]:
    """Find pairs of which each has a parameter where the other has none, and which a path fits.

    Those whose parameters stand at the same places are looked up by the segments that they have in common
    with others: to compare each with each took two seconds for 2,000 routes.
    """
    by_places: dict[tuple[bool, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_places.setdefault(tuple(segment is None for segment in shape), []).append(index)
    for one, other in combinations(by_places, 2):
        if len(one) != len(other) or not {(True, False), (False, True)} <= set(zip(one, other, strict=True)):
            continue
        plain = [place for place in range(len(one)) if not one[place] and not other[place]]
        found: dict[Shape, list[int]] = {}
        for index in by_places[other]:
            found.setdefault(tuple(shapes[index][place] for place in plain), []).append(index)
        for index in by_places[one]:
            for fitting in found.get(tuple(shapes[index][place] for place in plain), ()):
                yield min(index, fitting), max(index, fitting)


def shape_of_segments(path: str) -> Shape:
    """Give the segments of a route's path, None for a parameter."""
    return tuple(None if segment.startswith("{") else segment for segment in path.split("/"))
