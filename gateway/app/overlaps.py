"""Routes of which one takes some of the other's paths, though neither is the more special one."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from gateway.config import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Loaded, Problem

__all__ = ["overlapping_routes", "shape_of_segments"]


def overlapping_routes(loaded: Loaded) -> Iterator[Problem]:
    """Find paths that fit two routes where it is not plain which one is meant.

    `/chat/lobby` beside `/chat/{room}` is plain: the special one goes first. `/{tenant}/live` beside
    `/acme/{page}` is not: `/acme/live` fits both.
    """
    shapes = [shape_of_segments(route.path) for route in loaded.config.routes]
    for (first, one), (second, other) in combinations(enumerate(shapes), 2):
        if len(one) != len(other):
            continue
        pairs = list(zip(one, other, strict=True))
        if all(a == b or a is None or b is None for a, b in pairs):
            wins = [a is not None for a, b in pairs if (a is None) != (b is None)]
            if True in wins and False in wins:
                common = "/".join(str(a if a is not None else b or "x") for a, b in pairs)
                # The router goes from left to right, and takes a segment as it is before a parameter.
                taker, loser = (first, second) if wins[0] else (second, first)
                shown = [
                    loaded.show(("routes", index, "path"), loaded.config.routes[index].path)
                    for index in (taker, loser)
                ]
                yield loaded.problem(
                    ("routes", second, "path"),
                    f"path fits another route too: {common} goes to {shown[0]}, not to {shown[1]}",
                    severity=Severity.WARNING,
                )


def shape_of_segments(path: str) -> tuple[str | None, ...]:
    """Give the segments of a route's path, None for a parameter."""
    return tuple(None if segment.startswith("{") else segment for segment in path.split("/"))
