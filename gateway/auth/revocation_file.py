"""The file in which revocations outlive a restart."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import pydantic

from gateway.core.revocations import PlainRevocation, Revocations, TooManyRevocationsError
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.core.revocations import Revocation

__all__ = ["RevocationFile", "RevocationFileError"]

_FLAGS: Final = os.O_RDWR | os.O_CREAT
_OWNER_ONLY: Final = 0o600
_LONGEST_LINE_BYTES: Final = 16_384  # an id has 512 characters, of at most 6 bytes each


class RevocationFileError(GatewayError):
    """A file of revocations that cannot be used: what it would refuse might be let in.

    Args:
        path: The file.
        fact: What is wrong.
    """

    def __init__(self, path: Path, fact: str) -> None:
        super().__init__(f"revocations cannot be read from {path}: {fact}")
        self.path = path
        self.fact = fact


class RevocationFile:
    """A text file with one revocation a line, as JSON.

    Several processes of one machine may use it, each of which reads it at its start only.

    Args:
        path: The file; it is made at the first start, readable for its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, revocations: Revocations) -> None:
        """Add what the file says, and write it anew without what has ended. Called once, at the start.

        Raises:
            RevocationFileError: If it cannot be read or written, or a line is none.
        """
        try:
            with self._locked() as file:
                data = file.read()
                self._take(data, revocations)
                kept = b"".join(map(_line, revocations))
                if kept != data:
                    self._replace(kept)
        except OSError as exc:
            raise RevocationFileError(self._path, (exc.strerror or str(exc)).lower()) from exc

    def check(self) -> None:
        """Read the file as `load` would, and change nothing; one that is not there yet is good.

        Raises:
            RevocationFileError: If it cannot be read, or a line is no revocation.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise RevocationFileError(self._path, (exc.strerror or str(exc)).lower()) from exc
        self._take(data, Revocations(time.time))

    def _take(self, data: bytes, revocations: Revocations) -> None:
        lines = data.split(b"\n")
        # A line without an end was not written whole, unless by hand; if so, its call was not answered.
        whole = len(lines) - 1
        for number, line in enumerate(lines, 1):
            try:
                revocations.add(PlainRevocation.model_validate_json(line).revocation())
            except pydantic.ValidationError:
                if number <= whole:
                    raise RevocationFileError(self._path, f"line {number} is no revocation") from None
            except TooManyRevocationsError as exc:
                raise RevocationFileError(self._path, str(exc)) from None

    def _replace(self, data: bytes) -> None:
        """Put a file with other content in place of this one: whenever the machine stops, one is there."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, _FLAGS | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._sync_folder()

    async def keep(self, revocation: Revocation) -> None:
        """Write a revocation to the end of the file; when this returns, it is on the disk.

        Raises:
            OSError: If it cannot be written.
        """
        await asyncio.to_thread(self._append, _line(revocation))

    def _append(self, line: bytes) -> None:
        with self._locked() as file:
            end = _end_of_last_line(file)
            file.truncate(end)  # what was written in part, as on a full disk, would spoil this line
            file.seek(end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            if not end:
                self._sync_folder()

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """Open the file, made if need be, for this thread of this process alone."""
        import fcntl  # noqa: PLC0415 - not there on Windows

        while True:
            with os.fdopen(os.open(self._path, _FLAGS, _OWNER_ONLY), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Another process may have put a new file in its place meanwhile.
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    yield file
                    return

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _end_of_last_line(file: IO[bytes]) -> int:
    """Give how many bytes of the file are whole lines."""
    size = file.seek(0, os.SEEK_END)
    begin = file.seek(max(size - _LONGEST_LINE_BYTES, 0))
    return begin + file.read().rfind(b"\n") + 1


def _line(revocation: Revocation) -> bytes:
    plain: dict[str, Any] = revocation._asdict()
    return PlainRevocation(**plain).model_dump_json().encode() + b"\n"
