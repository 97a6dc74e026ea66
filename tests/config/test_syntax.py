from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import ConfigError, load_config
from gateway.config.syntax import MAX_DEPTH, MAX_FILE_BYTES, compose, read_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\n b: 2", "2:3: (file): mapping values are not allowed here"),
        (
            "a: [1",
            (
                "1:6: (file): expected ',' or ']', but got '<stream end>', "
                "while parsing a flow sequence from line 1"
            ),
        ),
        ("a: *none", "1:4: (file): found undefined alias 'none'"),
        (
            "a: 1\n---\nb: 1",
            "2:1: (file): found another document, expected a single document in the stream from line 1",
        ),
        (
            "\ta: 1",
            (
                "1:1: (file): found character '\\t' that cannot start any token, "
                "while scanning for the next token"
            ),
        ),
        ("a: 1\nb: \x00", "2:4: (file): character that yaml does not allow: U+0000"),
        (b"a: 1\r\nb: \xff", "2:4: (file): file is not utf-8: byte 0xff"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "1:7: (file): number out of range in the yaml syntax"),
        ('a: "\\UFFFFFFFF"', "1:7: (file): number out of range in the yaml syntax"),
        ("[" * 10_000, f"1:{MAX_DEPTH + 1}: (file): nested too deeply, limit {MAX_DEPTH}"),
        (
            "listen: {port: ${PORT}}",
            (
                "1:17: (file): expected ',' or '}', but got '{', while parsing a flow mapping from line 1; "
                "inside [] or {} a ${...} must be in quotes, and is a text then"
            ),
        ),
    ],
)
def test_what_is_not_yaml(refusals: Callable[..., list[str]], text: str | bytes, line: str) -> None:
    """A file that is not YAML is refused with the one place where reading stopped."""
    assert refusals(text) == [f"gateway.yaml:{line}"]


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is a problem of its first line, not a traceback."""
    file = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value) == f"{file}:1:1: (file): file not found"


def test_unreadable_file(tmp_path: Path) -> None:
    """A folder in the file's place is a problem, not a traceback."""
    with pytest.raises(ConfigError, match=r":1:1: \(file\): file cannot be read: is a directory"):
        load_config(tmp_path, {})


def test_invalid_file_name() -> None:
    """A name that no file can have is a problem, not a traceback."""
    with pytest.raises(ConfigError, match="file name is not valid"):
        read_text("a\0b")


def test_file_too_large(tmp_path: Path) -> None:
    """The largest allowed file is read and one byte more is refused."""
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * MAX_FILE_BYTES)
    assert len(read_text(file)) == MAX_FILE_BYTES
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match=f"file too large, limit {MAX_FILE_BYTES} bytes"):
        read_text(file)


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """A byte order mark at the beginning is skipped."""
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbflog: {}")
    assert read_text(file) == "log: {}"


def test_depth_at_the_limit_is_composed() -> None:
    """The limit itself is not too deep."""
    node, _ = compose("[" * MAX_DEPTH + "]" * MAX_DEPTH, "g")
    assert node is not None
