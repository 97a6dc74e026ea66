"""Tests of the file of revocations: what it takes, what it refuses, and that it is whole at any time."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.auth import revocation_file as module
from gateway.auth.revocation_file import RevocationFile, RevocationFileError
from gateway.core import revocations as revocations_module
from gateway.core.revocations import Revocation, Revocations

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_000_000.0
TOKEN = Revocation("t-1", None, NOW, NOW + 50)
USER = Revocation(None, "ada ü 😀 \n", NOW - 5.25, NOW + 100)
LINE = '{"token_id":"t-1","user":null,"issued_before":1000000.0,"until":1000050.0}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a file that is not there yet."""
    return tmp_path / "revocations"


def loaded(path: Path, now: float = NOW) -> list[Revocation]:
    """Give what a start finds in the file."""
    revocations = Revocations(lambda: now)
    RevocationFile(path).load(revocations)
    return list(revocations)


def keep(path: Path, *revocations: Revocation) -> None:
    """Keep revocations in the file."""
    for revocation in revocations:
        asyncio.run(RevocationFile(path).keep(revocation))


def refusal(path: Path) -> str:
    """Give why a start refuses the file, which stays as it was."""
    before = path.read_bytes()
    with pytest.raises(RevocationFileError) as caught:
        loaded(path)
    assert path.read_bytes() == before
    assert caught.value.path == path
    return caught.value.fact


def test_what_is_kept_is_found_again(path: Path) -> None:
    """A revocation that was kept is there at the next start, be its user named as it may."""
    keep(path, TOKEN, USER)
    assert path.read_text(encoding="utf-8").startswith(LINE)
    assert path.read_bytes().count(b"\n") == 2
    assert sorted(loaded(path), key=str) == sorted([TOKEN, USER], key=str)


def test_only_the_owner_can_read_it(path: Path) -> None:
    """The file has mode 0600 from the first moment on, when it is made, and when it is made anew."""
    former = os.umask(0)
    try:
        assert loaded(path) == []
        modes = [stat.S_IMODE(path.stat().st_mode)]
        keep(path, TOKEN)
        loaded(path, NOW + 60)
        modes.append(stat.S_IMODE(path.stat().st_mode))
        path.unlink()
        keep(path, TOKEN)
        modes.append(stat.S_IMODE(path.stat().st_mode))
    finally:
        os.umask(former)
    assert modes == [0o600] * 3


def test_it_is_compacted_at_the_start(path: Path) -> None:
    """A start leaves out what has ended, and makes one line of those of one token or user."""
    for seconds in (10, 90, 40):
        keep(path, USER._replace(until=NOW + seconds))
        keep(path, TOKEN)
    assert loaded(path, NOW + 50) == [USER._replace(until=NOW + 90)]
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["until"] == NOW + 90
    assert loaded(path, NOW + 95) == []
    assert path.read_bytes() == b""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_with_nothing_to_leave_out_stays(path: Path) -> None:
    """A start that would change nothing does not write."""
    path.write_text(LINE, encoding="utf-8")
    before = path.stat()
    loaded(path)
    assert os.path.samestat(before, path.stat())
    assert before.st_mtime_ns == path.stat().st_mtime_ns


@pytest.mark.parametrize("cut", [1, 10, len(LINE) - 2])
def test_a_line_that_was_not_written_whole(path: Path, cut: int) -> None:
    """What a stop of the machine has cut off is ignored, and gone after the start."""
    path.write_text(LINE + LINE.replace("t-1", "t-2")[:cut], encoding="utf-8")
    assert loaded(path) == [TOKEN]
    assert path.read_text(encoding="utf-8") == LINE


def test_a_last_line_without_its_end(path: Path) -> None:
    """A whole revocation counts, even if nothing stands behind it, as editors leave it."""
    path.write_text(LINE.rstrip(), encoding="utf-8")
    assert loaded(path) == [TOKEN]
    assert path.read_text(encoding="utf-8") == LINE


def test_a_line_goes_behind_whole_ones_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write that failed half-way, as on a full disk, the next one is readable."""
    keep(path, TOKEN)
    with path.open("a", encoding="utf-8") as half:
        half.write(LINE[:30])
    keep(path, USER)
    assert sorted(loaded(path), key=str) == sorted([TOKEN, USER], key=str)
    path.write_text(LINE[:30], encoding="utf-8")
    keep(path, TOKEN)
    assert path.read_text(encoding="utf-8") == LINE
    monkeypatch.setattr(module, "_LONGEST_LINE_BYTES", len(LINE) + 5)
    path.write_text(LINE * 20 + LINE[:5], encoding="utf-8")
    keep(path, TOKEN)
    assert path.read_text(encoding="utf-8") == LINE * 21


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "junk",
        "[]",
        "{}",
        "null",
        '["t-1", null, 0, 9e9]',
        LINE.strip().replace('"t-1"', "null"),
        LINE.strip().replace("null", '"ada"'),
        LINE.strip().replace('"t-1"', "5"),
        LINE.strip().replace("1000050.0", '"1000050.0"'),
        LINE.strip().replace("1000050.0", "NaN"),
        LINE.strip().replace("1000050.0", "Infinity"),
        LINE.strip().replace("1000050.0", "null"),
        LINE.strip().replace("}", ', "more": 1}'),
        LINE.strip().replace('"user":null,', ""),
        LINE.strip()[:-1],
        "\udcff",
    ],
)
def test_a_line_that_is_none(path: Path, junk: str) -> None:
    """A line that is no revocation refuses to start: nobody knows what it would have refused."""
    path.write_text(f"{LINE}{junk}\n{LINE}", encoding="utf-8", errors="surrogateescape")
    assert refusal(path) == "line 2 is no revocation"


def test_too_many_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with more than a node keeps is not half taken."""
    monkeypatch.setattr(revocations_module, "MOST_REVOCATIONS", 1)
    path.write_text(LINE + LINE.replace("t-1", "t-2"), encoding="utf-8")
    assert refusal(path).startswith("too many revocations")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A folder, or one that is not there, refuses to start with the system's reason."""
    for path, reason in ((tmp_path, "is a directory"), (tmp_path / "no" / "file", "no such file")):
        with pytest.raises(RevocationFileError, match=f"revocations cannot be read from .*{reason}"):
            loaded(path)


def test_a_stop_while_it_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compaction does not get to its end, the former file is still there, and whole."""
    keep(path, TOKEN)
    keep(path, USER)
    before = path.read_bytes()
    former = path.open("rb")

    def stop(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stop)
        with pytest.raises(RevocationFileError, match="no space left on device"):
            loaded(path, NOW + 60)
    assert path.read_bytes() == before
    assert loaded(path, NOW + 60) == [USER]
    # Nothing was ever written over the former one.
    with former:
        assert former.read() == before


async def test_concurrent_appends_are_whole_lines(path: Path) -> None:
    """Two hundred revocations at once, through several objects, are two hundred lines."""
    files = [RevocationFile(path) for _ in range(4)]
    expected = {f"{number}-{'x' * (number * 7)}" for number in range(200)}
    await asyncio.gather(
        *(
            files[index % 4].keep(TOKEN._replace(token_id=token_id))
            for index, token_id in enumerate(sorted(expected))
        )
    )
    assert {revocation.token_id for revocation in loaded(path)} == expected


def _append(path: Path, name: str, count: int) -> None:
    file = RevocationFile(path)
    for number in range(count):
        file._append(module._line(Revocation(f"{name}-{number}", None, 0, time.time() + 1000)))


def test_starts_and_appends_of_several_processes(path: Path) -> None:
    """Nothing is lost where one process starts, and so writes the file anew, while others append."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_append, args=(path, name, 60)) for name in "ab"]
    for other in others:
        other.start()
    starts = 0
    while any(other.is_alive() for other in others):
        # One line that has ended gives the start something to leave out.
        _append_ended(path)
        RevocationFile(path).load(Revocations(time.time))
        starts += 1
    for other in others:
        other.join()
        assert other.exitcode == 0
    found: Any = {revocation.token_id for revocation in loaded(path, time.time())}
    assert found == {f"{name}-{number}" for name in "ab" for number in range(60)}
    assert starts > 1


def _append_ended(path: Path) -> None:
    RevocationFile(path)._append(module._line(Revocation("ended", None, 0, 1.0)))
