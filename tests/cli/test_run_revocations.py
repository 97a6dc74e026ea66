"""Tests of `gateway run` with a file of revocations that it cannot take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

TEXT = """
    listen: {port: 0, drain_seconds: 0}
    plugins: {live: {enabled: false}}
    revocation: {file: revocations}
"""
LINE = '{"token_id":"t-1","user":null,"issued_before":1.0,"until":9000000000.0}\n'


@pytest.mark.parametrize(
    ("content", "fact"),
    [(LINE + "hunter2\n" + LINE, "line 2 is no revocation"), (None, "is a directory")],
    ids=["junk", "folder"],
)
def test_a_file_that_it_cannot_take(
    command: Callable[..., subprocess.CompletedProcess[str]],
    write: Callable[[str], Path],
    folder: Path,
    content: str | None,
    fact: str,
) -> None:
    """It does not start without the revocations that it should know, and says in one line why."""
    write(TEXT)
    file = folder / "revocations"
    if content is None:
        file.mkdir()
    else:
        file.write_text(content, encoding="utf-8")
    done = command("run", "--in-process")  # as workers do, by the same code
    assert (done.returncode, done.stdout) == (1, "")
    *log, line = done.stderr.splitlines()
    assert line == f"cannot start: revocations cannot be read from revocations: {fact}"
    assert [json.loads(text)["event"] for text in log] == ["start_failed"]
    assert "hunter2" not in done.stderr
    if content is not None:
        assert file.read_text(encoding="utf-8") == content
