"""The end of a process that has served: no thread of a plugin's holds it up."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.core.owners import frames_of
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from types import FrameType

    from gateway.config import LogConfig

__all__ = ["end_soon"]

_LEFT_SECONDS: Final = 3.0


def end_soon(status: int, config: LogConfig, **fields: object) -> None:
    """Have this process end in three seconds at the latest, whatever it still waits for.

    Python waits at its end for every thread that is no daemon, such as those of a plugin's own pool.

    Args:
        status: The exit status.
        config: How it is said who would have held it up.
        fields: What that line says besides.
    """
    threading.Thread(target=_end, args=(status, config, fields), name="gateway end", daemon=True).start()


def _end(status: int, config: LogConfig, fields: dict[str, object]) -> None:
    time.sleep(_LEFT_SECONDS)
    with suppress(Exception):  # whatever is in the way, the process has to end
        frames = sys._current_frames()  # noqa: SLF001 - there is no other way
        left = {
            thread.name: _place(frames.get(thread.ident or 0))
            for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        }
        log = make_logger(config.level, config.format, levels=config.levels).bind(**fields)
        log.warning("end_held_up", threads=left, main=_place(frames.get(threading.main_thread().ident or 0)))
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _place(frame: FrameType | None) -> str | None:
    """Give the innermost line that is none of Python's own library."""
    for each in frames_of(frame):
        file = each.f_code.co_filename
        if "site-packages" in file or not file.startswith((sysconfig.get_path("stdlib"), "<")):
            return f"{file}:{each.f_lineno}"
    return None
