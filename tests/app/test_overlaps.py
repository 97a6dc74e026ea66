from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.overlaps import _overlapping, overlapping_routes
from gateway.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import Served


def problems(folder: Path, *paths: str) -> list[str]:
    """Judge routes of these paths; give what is said, without the file."""
    file = folder / "gateway.yaml"
    file.write_text("routes:\n" + "".join(f'  - path: "{path}"\n' for path in paths))
    return [str(one).removeprefix(f"{file}:") for one in overlapping_routes(load_config(file, {}))]


@pytest.mark.parametrize(
    "paths",
    [
        ("/a", "/b"),
        ("/chat/{room}", "/chat/lobby"),
        ("/{a}/x", "/y/z"),
        ("/{a}/x", "/{b}/y"),
        ("/{a}", "/{a}/{b}"),
        ("/{a}/{b}", "/x/{b}", "/x/y"),
    ],
)
def test_plain_routes(tmp_path: Path, paths: tuple[str, ...]) -> None:
    """Paths that never fit both, and a special one beside a general one, are plain."""
    assert problems(tmp_path, *paths) == []


def test_paths_that_fit_two_routes(tmp_path: Path) -> None:
    """It is told which path, and which route gets it, whatever the order."""
    fact = "routes[1].path: warning: path fits another route too: /acme/live goes to '/acme/{page}'"
    assert problems(tmp_path, "/{tenant}/live", "/acme/{page}") == [
        f"3:11: {fact}, not to '/{{tenant}}/live'"
    ]
    assert problems(tmp_path, "/acme/{page}", "/{tenant}/live") == [
        (
            "3:11: routes[1].path: warning: path fits another route too: /acme/live goes to '/acme/{page}', "
            "not to '/{tenant}/live'"
        )
    ]
    (line,) = problems(tmp_path, "/{a}/x/{b}", "/{a}/{b}/y")
    assert line.endswith("/x/x/y goes to '/{a}/x/{b}', not to '/{a}/{b}/y'")


@pytest.mark.parametrize("paths", [("/{a}/live", "/acme/{b}"), ("/acme/{b}", "/{a}/live")])
async def test_what_is_told_is_so(serve_gateway, paths: tuple[str, ...]) -> None:
    """The router sends the path to the route that the check names."""
    served: Served = await serve_gateway(
        "routes:" + "".join(f"\n  - {{path: '{path}', allow_missing_origin: true}}" for path in paths)
    )
    async with served.connect("/acme/live"):
        (connection,) = served.node.connections()
        assert connection.route == "/acme/{b}"


def fit_each_other(one: tuple[str | None, ...], other: tuple[str | None, ...]) -> bool:
    """Tell whether a path fits both, and each has a parameter where the other has none."""
    if len(one) != len(other):
        return False
    pairs = list(zip(one, other, strict=True))
    wins = {a is None for a, b in pairs if (a is None) != (b is None)}
    return wins == {True, False} and all(a == b or None in (a, b) for a, b in pairs)


SEGMENTS = st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=4).map(tuple)


@given(st.lists(SEGMENTS, max_size=12, unique=True))
def test_each_pair_is_found(shapes: list[tuple[str | None, ...]]) -> None:
    """What is looked up is what comparing each with each would find, each pair once."""
    expected = [
        (first, second)
        for second in range(len(shapes))
        for first in range(second)
        if fit_each_other(shapes[first], shapes[second])
    ]
    assert sorted(_overlapping(shapes)) == sorted(expected)
