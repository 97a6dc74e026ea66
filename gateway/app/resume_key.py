"""The secret of the tokens by which clients resume."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import GatewayConfig

__all__ = ["ResumeKeyError", "resume_key", "stored_key"]

_FILE: Final = "resume.key"
_BYTES: Final = 32


class ResumeKeyError(GatewayError):
    """A file with the key that cannot be read or written.

    Args:
        fact: Why, in lower case.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"cannot keep the key of resume tokens: {fact}")
        self.fact = fact


def resume_key(config: GatewayConfig) -> str:
    """Give the key: that of the configuration, or the one in the data folder, or one for this time only.

    Raises:
        ResumeKeyError: If there is a data folder, and the key can neither be read nor written there.
    """
    configured = config.resume.key.get_secret_value()
    if configured:
        return configured
    if config.data_folder is None:
        return secrets.token_hex(_BYTES)
    try:
        return _kept(config.data_folder)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a key"
        raise ResumeKeyError(f"{config.data_folder / _FILE}: {reason.lower()}") from None


def _kept(folder: Path) -> str:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / _FILE
    if not file.exists():
        # Written whole before it has its name: whoever finds it finds all of it.
        draft = folder / f"{_FILE}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_hex(_BYTES))
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink()
    return _read(file)


def stored_key(folder: Path) -> str | None:
    """Give the key that a data folder has; `None` if it has none yet.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is none.
    """
    file = folder / _FILE
    return _read(file) if file.exists() else None


def _read(file: Path) -> str:
    key = file.read_text(encoding="ascii").strip()
    if not key:
        # With it anybody could make tokens.
        raise ValueError("empty")
    return key
