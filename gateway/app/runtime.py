"""The runtime folder: where a running gateway is found, by its process id and its control socket."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RuntimeFolder", "RuntimeFolderError", "connect_to", "folders_of"]

_PID_FILE: Final = "gateway.pid"
_SOCKET_FILE: Final = "control.sock"
_REVOCATIONS_FILE: Final = "revocations.jsonl"
_SYSTEM: Final = Path("/run/gateway")


class RuntimeFolderError(GatewayError):
    """A runtime folder that cannot be had.

    Args:
        folder: Which one.
        fact: Why not.
    """

    def __init__(self, folder: Path, fact: str) -> None:
        super().__init__(f"cannot use the runtime folder {folder}: {fact}")
        self.folder = folder
        self.fact = fact


def folders_of(
    config: Path, configured: Path | None, environ: Mapping[str, str] = os.environ
) -> Iterator[Path]:
    """Give the folders in which the gateway of a file may be found, the best one first.

    Args:
        config: The path of gateway.yaml. Each file has its own folder, whatever links lead to it.
        configured: `runtime_folder`; `None` if it is not set.
        environ: The environment.
    """
    if configured is not None:
        yield configured
    # Not resolved: Kubernetes, for one, changes where the path of a mounted file leads.
    name = hashlib.sha256(os.fsencode(os.path.abspath(config))).hexdigest()[:12]  # noqa: PTH100
    of_user = environ.get("XDG_RUNTIME_DIR", "")
    if of_user.startswith("/"):
        yield Path(of_user) / "gateway" / name
    yield _SYSTEM / name
    yield Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}" / name


class RuntimeFolder:
    """The folder of this process. Nobody else has it meanwhile.

    Args:
        path: The folder. Its parent may have to be made as well.
        own: Whether the parent has to be this user's alone, as one in a folder that everybody may write to.

    Raises:
        RuntimeFolderError: If it cannot be had.
    """

    def __init__(self, path: Path, *, own: bool = False) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=not own, exist_ok=True)
            if own:
                self._check_own(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
            self._pid_file = self._lock()
            self.revocations = path / _REVOCATIONS_FILE
            """A file for what workers have to tell their successors; it ends with the gateway."""
            self.revocations.unlink(missing_ok=True)
        except OSError as exc:
            raise RuntimeFolderError(path, (exc.strerror or str(exc)).lower()) from None

    @classmethod
    def take(
        cls, config: Path, configured: Path | None, environ: Mapping[str, str] = os.environ
    ) -> RuntimeFolder:
        """Take the best folder that can be had; arguments as of `folders_of`.

        Raises:
            RuntimeFolderError: If there is none; if one is configured, that one.
        """
        if configured is not None:
            return cls(configured)
        *better, last = folders_of(config, None, environ)
        for path in better:
            base = path.parent
            # The folder of all is made by who may: systemd, or whoever administers the machine.
            around = base if base == _SYSTEM else base.parent
            if around.is_dir() and os.access(around, os.W_OK | os.X_OK):
                return cls(path)
        return cls(last, own=True)

    @staticmethod
    def _check_own(folder: Path) -> None:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise RuntimeFolderError(folder, "it is not this user's alone")

    def _lock(self) -> int:
        """Open and lock the file with the process id, which whoever had it before may just remove."""
        import fcntl  # noqa: PLC0415 - not there on Windows

        file = self.path / _PID_FILE
        while True:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), file.lstat()):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                    return descriptor
            except FileNotFoundError:
                pass
            except BlockingIOError:
                pid = os.read(descriptor, 32).decode(errors="replace").strip()
                os.close(descriptor)
                raise RuntimeFolderError(self.path, f"the gateway with process id {pid} has it") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def listen(self) -> socket.socket:
        """Make the control socket, for this user alone.

        Raises:
            RuntimeFolderError: If it cannot be made.
        """
        with suppress(FileNotFoundError):
            (self.path / _SOCKET_FILE).unlink()
        bound = socket.socket(socket.AF_UNIX)
        former = os.umask(0o177)
        try:
            with _short(self.path) as folder:
                bound.bind(f"{folder}/{_SOCKET_FILE}")
            bound.listen()
        except OSError as exc:
            bound.close()
            raise RuntimeFolderError(self.path, (exc.strerror or str(exc)).lower()) from None
        finally:
            os.umask(former)
        bound.setblocking(False)
        return bound

    def close(self) -> None:
        """Remove what was put there, and let go of it."""
        for name in (_SOCKET_FILE, _REVOCATIONS_FILE, _PID_FILE):
            with suppress(OSError):
                (self.path / name).unlink()
        with suppress(OSError):
            self.path.rmdir()
        os.close(self._pid_file)


def connect_to(folder: Path, seconds: float) -> socket.socket | None:
    """Connect to the gateway whose folder it is; give `None` if none runs there.

    Args:
        folder: The folder.
        seconds: For how long it may not answer.

    Raises:
        RuntimeFolderError: If one may run there, and cannot be asked.
    """
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(seconds)
    try:
        with _short(folder) as path:
            client.connect(f"{path}/{_SOCKET_FILE}")
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        client.close()
        return None
    except OSError as exc:
        client.close()
        raise RuntimeFolderError(folder, (exc.strerror or str(exc)).lower()) from None
    return client


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Give a short path of a folder: an address of a unix-domain socket has room for some 100 bytes."""
    if sys.platform != "linux":
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
