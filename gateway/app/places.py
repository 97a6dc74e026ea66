"""Whether the folders and files that a gateway writes can be had, for `gateway check`."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

from gateway.app.resume_key import stored_key
from gateway.auth.revocation_file import RevocationFile, RevocationFileError
from gateway.config import Severity
from gateway.config.remains import Remains

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config import Loaded, Path, Problem

__all__ = ["check_places"]

# What the address of a unix-domain socket has room for, without the zero at its end (unix(7)).
_LONGEST_SOCKET_BYTES: Final = 107 if sys.platform == "linux" else 103
# File systems in which nobody makes anything, though their folders say that root may write.
_KERNELS: Final = ("/proc", "/sys")


def check_places(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Find out whether a start could make what the settings say.

    What is not for this user alone is a warning: another one may be the one that serves.

    Args:
        loaded: The configuration.
        environ: The environment; with `LISTEN_FDS` the socket of `listen.unix` is made by systemd.
    """
    config = loaded.config
    unix, file = config.listen.unix, config.revocation.file
    if unix is not None and "LISTEN_FDS" not in environ and _is_whole(loaded, ("listen", "unix")):
        size = len(os.fsencode(unix))
        if size > _LONGEST_SOCKET_BYTES:
            text = f"path of the socket too long: {size} bytes, limit {_LONGEST_SOCKET_BYTES}"
            yield loaded.problem(("listen", "unix"), text)
    for key, folder in (("runtime_folder", config.runtime_folder), ("data_folder", config.data_folder)):
        if folder is not None and _is_whole(loaded, (key,)):
            found = _look_at_folder(folder)
            if found is None and key == "data_folder" and _needs_key(loaded):
                found = _look_at_key(folder)
            yield from _unless_there(loaded, (key,), found)
    if file is not None and _is_whole(loaded, ("revocation", "file")):
        yield from _unless_there(loaded, ("revocation", "file"), _look_at_file(file))


def _is_whole(loaded: Loaded, *places: Path) -> bool:
    return not (isinstance(loaded, Remains) and loaded.lacks(*places))


def _unless_there(loaded: Loaded, place: Path, found: tuple[str, Severity] | None) -> Iterator[Problem]:
    if found is not None:
        yield loaded.problem(place, found[0], severity=found[1])


def _needs_key(loaded: Loaded) -> bool:
    """Tell whether resume tokens have a key that is kept in the data folder."""
    return _is_whole(loaded, ("resume",)) and not loaded.config.resume.key.get_secret_value()


def _look_at_folder(folder: FilePath) -> tuple[str, Severity] | None:
    """Look at a folder that is made where it is missing, with those around it."""
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        found = there.stat()
    except PermissionError:
        return "folder cannot be looked at by this user", Severity.WARNING
    except (OSError, ValueError) as exc:
        return f"folder cannot be looked at: {_reason(exc)}", Severity.ERROR
    doing = "written to" if there == folder else "made"
    if not stat.S_ISDIR(found.st_mode):
        what = "it" if there == folder else str(there)
        return f"folder cannot be {doing}: {what} is a file", Severity.ERROR
    if _is_kernels(found):
        return f"folder cannot be {doing}: {there} is the kernel's", Severity.ERROR
    if _is_read_only(there):
        return f"folder cannot be {doing}: the file system is read-only", Severity.ERROR
    if not os.access(there, os.W_OK | os.X_OK):
        return f"folder cannot be {doing} by this user", Severity.WARNING
    return None


def _look_at_key(folder: FilePath) -> tuple[str, Severity] | None:
    """Look at the key of resume tokens that a start has left in the data folder."""
    try:
        stored_key(folder)
    except PermissionError:
        pass  # as of the folder, or for another user
    except OSError as exc:
        return f"resume.key in it cannot be read: {_reason(exc)}", Severity.ERROR
    except ValueError:
        return "resume.key in it is no key", Severity.ERROR
    return None


def _look_at_file(file: FilePath) -> tuple[str, Severity] | None:
    """Look at a file that is made, and now and then replaced, in a folder that has to be there."""
    try:
        if not file.parent.is_dir():
            return "folder of the file not found", Severity.ERROR
        if file.exists() and not file.is_file():
            return "no file, something else is there", Severity.ERROR
        mine = not file.exists() or os.access(file, os.R_OK | os.W_OK)
    except PermissionError:
        return "file cannot be looked at by this user", Severity.WARNING
    except (OSError, ValueError) as exc:
        return f"file cannot be looked at: {_reason(exc)}", Severity.ERROR
    found = _look_at_folder(file.parent)
    if found is not None:
        return found[0].replace("folder", "file", 1), found[1]
    if not mine:
        return "file cannot be read and written by this user", Severity.WARNING
    try:
        RevocationFile(file).check()
    except RevocationFileError as exc:
        return f"file cannot be used: {exc.fact}", Severity.ERROR
    return None


def _is_kernels(found: os.stat_result) -> bool:
    return any(FilePath(one).stat().st_dev == found.st_dev for one in _KERNELS if FilePath(one).is_mount())


def _is_read_only(there: FilePath) -> bool:
    return bool(os.statvfs(there).f_flag & os.ST_RDONLY) if hasattr(os, "statvfs") else False


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or "not a path").lower()
