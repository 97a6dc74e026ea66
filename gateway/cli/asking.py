"""How commands find and ask the gateway that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gateway.app.control import ControlError, ask
from gateway.app.runtime import RuntimeFolderError
from gateway.cli.common import fail
from gateway.config import ConfigError, load_config
from gateway.config.remains import remains_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.app.control import Answer

__all__ = ["ask_or_exit"]


def ask_or_exit(config: Path, **question: Any) -> Answer:
    """Ask the gateway that runs with a file, and wait for its answer; if none can be asked, exit with 1."""
    try:
        return ask(config, _runtime_folder(config), question)
    except (ControlError, RuntimeFolderError) as exc:
        fail(str(exc))


def _runtime_folder(config: Path) -> Path | None:
    """Give what the file says of its runtime folder, whatever else is wrong with it."""
    try:
        return load_config(config, os.environ).config.runtime_folder
    except ConfigError as exc:
        remains = None if exc.draft is None else remains_of(exc.draft)
        return None if remains is None else remains.config.runtime_folder
