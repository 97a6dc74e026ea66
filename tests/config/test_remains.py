from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.config import ConfigError, load_config
from gateway.config.remains import remains_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Loaded
    from gateway.config.remains import Remains


@pytest.fixture
def remains(load: Callable[..., Loaded]) -> Callable[[str], Remains | None]:
    """A function that gives what is good of a text that must be refused."""

    def remains(text: str) -> Remains | None:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert caught.value.draft is not None
        return remains_of(caught.value.draft)

    return remains


def test_what_is_wrong_is_left_out(remains: Callable[[str], Remains | None]) -> None:
    """Unknown keys, wrong values, and whatever needs them, are gone; the rest stays."""
    left = remains(
        """
lisen: 3
listen: {port: x, host: 0.0.0.0, tls: {certificate: a.pem}}
routes:
  - {path: bad}
  - {path: /a, overflow: never, groups: [x]}
  - {path: /a}
  - {path: /b}
"""
    )
    assert left is not None
    assert left.config.listen.host == "0.0.0.0"
    assert left.config.listen.port == 8000
    assert left.config.listen.tls is None
    assert [(route.path, route.groups) for route in left.config.routes] == [("/a", ("x",)), ("/b", ())]
    assert left.lacks(("listen", "port"))
    assert left.lacks(("listen",))
    assert left.lacks(("routes", 0, "path"))
    assert not left.lacks(("listen", "host"), ("routes", 1, "groups"))


def test_problems_point_at_the_file(remains: Callable[[str], Remains | None]) -> None:
    """The place of a problem is that of the file, though entries before it are gone."""
    left = remains("routes:\n  - {path: bad}\n  - {path: /a}\n  - {path: /b}\n")
    assert left is not None
    assert str(left.problem(("routes", 1, "path"), "odd")) == "gateway.yaml:4:12: routes[2].path: odd"
    assert str(left.problem_at_key(("routes", 0, "path"), "odd")) == "gateway.yaml:3:6: routes[1].path: odd"
    assert left.show(("routes", 0, "path"), "/a") == "'/a'"


def test_variables_are_found_in_the_file(load: Callable[..., Loaded]) -> None:
    """A value from the environment stays hidden, though entries before it are gone."""
    with pytest.raises(ConfigError) as caught:
        load("routes:\n  - {path: bad}\n  - {path: '${X}'}\n", {"X": "/hush"})
    assert caught.value.draft is not None
    left = remains_of(caught.value.draft)
    assert left is not None
    assert left.show(("routes", 0, "path"), "/hush") == "the value of $X (a text)"


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("authentication: {forward: {url: 'https://a.test', max_bytes: x}}", "forward"),
        ("authentication: {jwt: {issuers: [{issuer: a, audience: b, algorithms: [nope]}]}}", "jwt"),
    ],
)
def test_a_way_goes_whole(remains: Callable[[str], Remains | None], text: str, section: str) -> None:
    """What would be left of a way could mean something else."""
    left = remains(text)
    assert left is not None
    assert getattr(left.config.authentication, section) is None


def test_an_unknown_key_takes_nothing_with_it(remains: Callable[[str], Remains | None]) -> None:
    """A key that means nothing changes nothing when it goes."""
    left = remains("broker: {type: nats, ulrs: [], prefix: p}")
    assert left is not None
    assert left.config.broker.type == "nats"


def test_paths_begin_where_those_of_the_file_do(tmp_path: Path) -> None:
    """Relative paths of what is left begin in the file's folder, or in the one that was given for it."""
    file = tmp_path / "gateway.yaml"
    for folder, begin in ((None, tmp_path), (Path("/elsewhere"), Path("/elsewhere"))):
        with pytest.raises(ConfigError) as caught:
            load_config(file, {}, "lisen: 3\ndata_folder: data\n", folder)
        assert caught.value.draft is not None
        left = remains_of(caught.value.draft)
        assert left is not None
        assert (left.folder, left.config.data_folder) == (begin, begin / "data")


def test_a_file_that_is_no_mapping(remains: Callable[[str], Remains | None]) -> None:
    """Of a list nothing is left."""
    assert remains("[1, 2]") is None
