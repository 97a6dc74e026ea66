"""Tests of the runtime folder: where it is, who may have it, and that nothing of it stays."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.app.runtime import RuntimeFolder, RuntimeFolderError, connect_to, folders_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for what is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def mode(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


def test_each_file_has_a_folder_of_its_own(tmp_path: Path, temporary: Path) -> None:
    """The user's own runtime folder goes first, then the system's, then a temporary one."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one = list(folders_of(Path("a/gateway.yaml"), None, environ))
    other = list(folders_of(Path("b/gateway.yaml"), None, environ))
    assert [path.parent for path in one] == [
        tmp_path / "gateway",
        Path("/run/gateway"),
        temporary / f"gateway-{os.geteuid()}",
    ]
    assert not set(one) & set(other)
    assert one == list(folders_of(Path.cwd() / "a" / "gateway.yaml", None, environ))
    configured = list(folders_of(Path("a/gateway.yaml"), Path("/x"), {}))
    assert configured == [Path("/x"), *one[1:]]


def test_it_is_one_gateways_and_nothing_stays(tmp_path: Path) -> None:
    """The folder has the process id, and a socket for this user alone; a second one is told who has it."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    config = Path("gateway.yaml")
    folder = RuntimeFolder.take(config, None, environ)
    assert mode(folder.path) == mode(folder.path.parent) == 0o700
    assert (folder.path / "gateway.pid").read_text("ascii") == f"{os.getpid()}\n"
    assert connect_to(folder.path, 1) is None
    with folder.listen():
        assert mode(folder.path / "control.sock") == 0o600
        client = connect_to(folder.path, 1)
        assert client is not None
        client.close()
        with pytest.raises(RuntimeFolderError, match=f"the gateway with process id {os.getpid()} has it"):
            RuntimeFolder.take(config, None, environ)
    folder.close()
    assert list((tmp_path / "gateway").iterdir()) == []
    assert connect_to(folder.path, 1) is None
    # What a killed one has left is no hindrance.
    folder.path.mkdir()
    (folder.path / "gateway.pid").write_text("1\n")
    (folder.path / "control.sock").touch()
    again = RuntimeFolder.take(config, None, environ)
    again.listen().close()
    again.close()


def test_a_long_path_has_room_for_a_socket(tmp_path: Path) -> None:
    """The folder's path may be longer than an address of a socket."""
    folder = RuntimeFolder(tmp_path / ("long" * 30) / "folder")
    with folder.listen():
        client = connect_to(folder.path, 1)
        assert client is not None
        client.close()
    folder.close()


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_a_temporary_folder_that_others_may_change_is_not_taken(temporary: Path, trap: str) -> None:
    """Where everybody may write, somebody else's folder under that name is refused."""
    folder = temporary / f"gateway-{os.geteuid()}"
    if trap == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif trap == "link":
        (temporary / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(temporary / "elsewhere")
    else:
        folder.touch()
    with pytest.raises(RuntimeFolderError):
        RuntimeFolder.take(Path("gateway.yaml"), None, {})
    folder.rename(temporary / "away")
    RuntimeFolder.take(Path("gateway.yaml"), None, {}).close()
    assert mode(folder) == 0o700


def test_a_configured_folder_that_cannot_be_had(tmp_path: Path) -> None:
    """Why not is told, with the folder."""
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeFolderError, match=r"cannot use the runtime folder .*file/x: file exists"):
        RuntimeFolder.take(Path("gateway.yaml"), tmp_path / "file" / "x", {})
