from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.app.overlaps import overlapping_routes
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
