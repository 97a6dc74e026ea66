from __future__ import annotations

from gateway.config.marks import START, Marks, Position
from gateway.config.reading import read

TEXT = """\
listen:
  host: localhost
routes:
  - path: /a
    handlers: [echo, {name: live,
      options: {x: 1}}]
  -
    path: "/b"
"""


def marks() -> Marks:
    """Return the marks of the text."""
    return read(TEXT, "g.yaml", {}).marks


def test_positions_of_values() -> None:
    """Each value has its line and column from 1, in block and flow style."""
    values = marks().values
    assert values == {
        (): (1, 1),
        ("listen",): (2, 3),
        ("listen", "host"): (2, 9),
        ("routes",): (4, 3),
        ("routes", 0): (4, 5),
        ("routes", 0, "path"): (4, 11),
        ("routes", 0, "handlers"): (5, 15),
        ("routes", 0, "handlers", 0): (5, 16),
        ("routes", 0, "handlers", 1): (5, 22),
        ("routes", 0, "handlers", 1, "name"): (5, 29),
        ("routes", 0, "handlers", 1, "options"): (6, 16),
        ("routes", 0, "handlers", 1, "options", "x"): (6, 20),
        ("routes", 1): (8, 5),
        ("routes", 1, "path"): (8, 11),
    }


def test_positions_of_keys() -> None:
    """Each key has its own position."""
    keys = marks().keys
    assert keys["listen",] == (1, 1)
    assert keys["routes", 0, "handlers", 1, "options"] == (6, 7)
    assert ("routes", 0) not in keys


def test_what_is_not_written_has_the_nearest_position_around_it() -> None:
    """A default's position is that of the section it belongs to."""
    assert marks().of_value(("listen", "port")) == Position(2, 3)
    assert marks().of_value(("log", "level")) == Position(1, 1)
    assert marks().of_key(("routes", 1)) == Position(8, 5)
    assert marks().of_key(("routes", 0, "name")) == Position(4, 5)


def test_empty_file_has_a_position() -> None:
    """Without any node a problem points at the start of the file."""
    assert read("", "g.yaml", {}).marks.of_value(("listen",)) == START
