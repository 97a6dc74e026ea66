"""Tests of what the check says of folders and files that a start would make."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from gateway.app.places import check_places
from gateway.app.prepare import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that judges a text; it gives what is said of places, without the file's name and line."""

    def problems(yaml: str, **environ: str) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml)
        good = judge(file, {}).good
        assert good is not None
        return [str(one).partition(": ")[2] for one in check_places(good, environ)]

    return problems


@contextmanager
def no_rights() -> Iterator[None]:
    """For a moment this process is any user, if it is root's."""
    is_root = os.getuid() == 0
    if is_root:
        os.setresuid(65_534, 65_534, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


def test_what_is_there_or_can_be_made(problems, tmp_path: Path) -> None:
    """Nothing is said of places that are there or can be made, and nothing is made."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there.jsonl").touch()
    before = sorted(tmp_path.iterdir())
    for place in ("there", "fresh", "fresh/in/fresh"):
        assert problems(f"{{runtime_folder: {place}, data_folder: {place}}}") == []
    for file in ("there.jsonl", "fresh.jsonl"):
        assert problems(f"revocation: {{file: {file}}}") == []
    assert [one for one in sorted(tmp_path.iterdir()) if one.name != "gateway.yaml"] == before


def test_nothing_named(problems) -> None:
    """Without such settings there is nothing to judge."""
    assert problems("") == []


@pytest.mark.parametrize("key", ["runtime_folder", "data_folder"])
def test_folders_that_cannot_be_had(problems, tmp_path: Path, key: str) -> None:
    """What keeps a folder from being made or used is told, at its own place."""
    (tmp_path / "file").touch()
    assert problems(f"{key}: file") == [f"{key}: folder cannot be written to: it is a file"]
    assert problems(f"{key}: file/x/y") == [f"{key}: folder cannot be made: {tmp_path}/file is a file"]
    assert problems(f"{key}: /proc/none/x") == [f"{key}: folder cannot be made: /proc is the kernel's"]
    long = "x" * 300
    assert problems(f"{key}: {long}") == [f"{key}: folder cannot be looked at: file name too long"]


def test_files_that_cannot_be_had(problems, tmp_path: Path) -> None:
    """The file of revocations is made, but not its folder."""
    (tmp_path / "folder").mkdir()
    for file, fact in {
        "none/f.jsonl": "folder of the file not found",
        "folder": "no file, something else is there",
        "/proc/f.jsonl": "file cannot be written to: /proc is the kernel's",
        "x" * 300: "file cannot be looked at: file name too long",
    }.items():
        assert problems(f"revocation: {{file: {file}}}") == [f"revocation.file: {fact}"], file


def test_what_an_earlier_start_has_left(problems, tmp_path: Path) -> None:
    """Files that a start would read, and could not use, are told; good ones are left as they are."""
    folder, file = tmp_path / "data", tmp_path / "revoked.jsonl"
    (folder / "resume.key").mkdir(parents=True)
    file.write_text("junk\n")
    text = f"{{data_folder: {folder}, revocation: {{file: {file}}}}}"
    revoked = "revocation.file: file cannot be used: line 1 is no revocation"
    assert problems(text) == ["data_folder: resume.key in it cannot be read: is a directory", revoked]
    (folder / "resume.key").rmdir()
    for junk in (b"", b"\n", b"\xff"):
        (folder / "resume.key").write_bytes(junk)
        assert problems(text) == ["data_folder: resume.key in it is no key", revoked]
    assert problems(f"{{data_folder: {folder}, resume: {{key: {'k' * 40}}}}}") == []
    (folder / "resume.key").write_text("key")
    file.write_text("")
    assert problems(text) == []


def test_a_read_only_file_system(problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There nobody makes anything."""

    class Found:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr("os.statvfs", lambda _: Found)
    text = f"{{data_folder: {tmp_path}/x, revocation: {{file: f}}}}"
    assert problems(text) == [
        "data_folder: folder cannot be made: the file system is read-only",
        "revocation.file: file cannot be written to: the file system is read-only",
    ]


def test_what_is_not_for_this_user() -> None:
    """What only this user may not do is a warning: another one may be the one that serves."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # pytest's own folder is shut to other users
        (folder / "shut").mkdir()
        (folder / "shut.jsonl").touch()
        for shut in (folder / "shut", folder / "shut.jsonl"):
            shut.chmod(0)
        file = folder / "gateway.yaml"
        for text, said in {
            "data_folder: shut": "data_folder: warning: folder cannot be written to by this user",
            "data_folder: shut/x": "data_folder: warning: folder cannot be looked at by this user",
            "runtime_folder: /root-only": "runtime_folder: warning: folder cannot be made by this user",
            "revocation: {file: shut.jsonl}": (
                "revocation.file: warning: file cannot be read and written by this user"
            ),
            "revocation: {file: shut/x}": "revocation.file: warning: file cannot be looked at by this user",
            "revocation: {file: /root-only}": (
                "revocation.file: warning: file cannot be written to by this user"
            ),
        }.items():
            file.write_text(text)
            good = judge(file, {}).good
            assert good is not None
            with no_rights():
                (found,) = check_places(good, {})
            assert str(found).partition(": ")[2] == said


def test_a_socket_with_a_long_path(problems) -> None:
    """The address of a socket has room for some 100 bytes; systemd's own is not judged."""
    whole = "/run/" + "x" * 102
    assert problems(f"listen: {{unix: {whole}}}") == []
    fact = "listen.unix: path of the socket too long: 108 bytes, limit 107"
    assert problems(f"listen: {{unix: {whole}x}}") == [fact]
    assert problems(f"listen: {{unix: {whole}x}}", LISTEN_FDS="1") == []


def test_beside_other_errors(problems) -> None:
    """Places are judged in a file with other errors, unless they are what is wrong."""
    assert problems("{runtime_folder: /proc/x, lisen: {}}") == [
        "runtime_folder: folder cannot be made: /proc is the kernel's"
    ]
    assert problems("{runtime_folder: 5, data_folder: [], listen: {unix: 7}, revocation: {file: 1}}") == []
