"""The folder in which an embedded broker keeps its data, for one gateway at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["DataFolder"]

_PREFIX: Final = "gateway-broker-"
_LOCK: Final = "lock"
_YOUNG_SECONDS: Final = 60.0


class DataFolder:
    """A folder that is locked from its opening to its closing.

    The lock goes with an open file. A process that inherits it holds on to the folder, too, so that nobody
    takes it over while a broker of a gateway that was killed still writes there.

    Args:
        path: The folder, which is made where it is missing; `None` makes a temporary one.

    Raises:
        OSError: If it cannot be had; `EWOULDBLOCK` if another gateway uses it.
    """

    def __init__(self, path: Path | None) -> None:
        self._is_temporary = path is None
        if path is None:
            _remove_stale()
            path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path.absolute()
        """Where it is."""
        lock = _lock(path)
        if lock is None:
            raise BlockingIOError(errno.EWOULDBLOCK, "another gateway uses it")
        self.lock: int = lock
        """The descriptor of the open file that a broker inherits."""

    def write(self, name: str, text: str) -> Path:
        """Write a file that only its owner may read; give its path."""
        file = self.path / name
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        return file

    def close(self) -> None:
        """Let others have it; a temporary one is removed."""
        if self._is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder; `None` if it is locked already."""
    import fcntl  # noqa: PLC0415 - not there on Windows

    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove_stale() -> None:
    """Remove temporary folders of our own that gateways have left which were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            # One that is being made has no locked file yet.
            is_young = time.time() - found.st_mtime < _YOUNG_SECONDS
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or is_young:
                continue
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
