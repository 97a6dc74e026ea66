"""Tests of the folder of an embedded broker: one gateway at a time, and nothing left of a killed one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from gateway.broker.data_folder import DataFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_folder_is_made_and_kept(tmp_path: Path) -> None:
    """A folder with a name is made, for its owner alone, and what is in it outlives the gateway."""
    path = tmp_path / "data" / "broker"
    folder = DataFolder(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    file = folder.write("secret", "hush")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    folder.close()
    folder = DataFolder(path)
    assert folder.write("secret", "other").read_text() == "other"
    folder.close()


def test_a_folder_is_one_gateways_at_a_time(tmp_path: Path) -> None:
    """A folder that is open is refused, until all who inherited the lock have let go of it."""
    folder = DataFolder(tmp_path)
    heir = os.dup(folder.lock)
    for _ in range(2):
        with pytest.raises(BlockingIOError) as caught:
            DataFolder(tmp_path)
        assert caught.value.errno == errno.EWOULDBLOCK
        os.closerange(folder.lock, folder.lock + 1)
    os.close(heir)
    DataFolder(tmp_path).close()


def test_a_temporary_folder_ends_with_the_gateway(temporary: Path) -> None:
    """Without a name it is a new one each time, for its owner alone, and removed in the end."""
    first, second = DataFolder(None), DataFolder(None)
    assert first.path != second.path
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700
    first.write("file", "text")
    first.close()
    assert list(temporary.iterdir()) == [second.path]
    second.close()
    assert list(temporary.iterdir()) == []


def test_what_killed_gateways_left_is_removed(temporary: Path) -> None:
    """Temporary folders that nobody holds any more are removed, and no others."""
    old = time.time() - 3600
    abandoned = temporary / "gateway-broker-abandoned"
    others = [temporary / "someone-elses", temporary / "gateway-broker-file"]
    living = DataFolder(None)
    abandoned.mkdir()
    (abandoned / "data").touch()
    others[0].mkdir()
    others[1].touch()
    young = temporary / "gateway-broker-young"
    young.mkdir()
    for path in (abandoned, *others, living.path):
        os.utime(path, (old, old))
    DataFolder(None).close()
    assert set(temporary.iterdir()) == {*others, living.path, young}
    living.close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file in its place is an error."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        DataFolder(tmp_path / "file")
