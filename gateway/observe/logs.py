"""Log lines: one JSON object or one console line each, made by structlog, never with a credential."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["Logger", "make_logger", "route_standard_logging", "route_uncatchable"]

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def make_logger(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
) -> FilteringBoundLogger:
    """Make the logger of a process.

    Args:
        level: The least severe level that is written.
        form: `json` for one object a line, `console` for people.
        stream: Where lines go; `None` for standard error.
    """
    target = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        shared += [
            structlog.processors.format_exc_info,
            _put_first,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        # Rich's tracebacks would show local variables, and with them whatever credential is in one.
        renderer = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        shared.append(renderer)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(target),
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger


def _put_first(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Begin each line with what a reader looks for first."""
    return {name: event.pop(name) for name in ("timestamp", "level", "event")} | dict(event)


class _Lines:
    """The end of the logger's way: whole lines to a stream.

    A stream that cannot be written to, such as a file on a full disk, loses its line; what was being
    logged about goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line."""
        with suppress(OSError, ValueError):
            self._stream.write(line.encode(errors="backslashreplace").decode() + "\n")
            self._stream.flush()

    log = debug = info = warn = warning = error = critical = fatal = exception = msg


class _ToStructlog(logging.Handler):
    """A bridge for libraries that log through the standard library."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on, at its own level or the next lower one that has a name."""
        level = max((known for known in _LEVELS.values() if known <= record.levelno), default=logging.DEBUG)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit their text are no reason to fail
            message = str(record.msg)
        fields: dict[str, object] = {"logger": record.name, "message": message}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._logger.log(level, "library_log", **fields)


def route_standard_logging(logger: FilteringBoundLogger, *names: str, level: int = logging.WARNING) -> None:
    """Send what the named standard-library loggers say, from `level` up, through `logger`.

    Args:
        logger: Where the lines go.
        names: The loggers' names; the empty one is the root, for all that are not named.
        level: The least severe level that is passed on.
    """
    bridge = _ToStructlog(logger)
    for name in names:
        source = logging.getLogger(name)
        source.handlers[:] = [bridge]
        source.setLevel(level)
        source.propagate = False


def route_uncatchable(logger: FilteringBoundLogger) -> None:
    """Send errors that nothing can catch, as those in callbacks of C libraries, through `logger`.

    Python would print them to standard error, with the object at fault: with the bytes that a client sent as
    the server name of TLS, for one.
    """

    def log(error: sys.UnraisableHookArgs) -> None:
        logger.warning("error_ignored", exc_info=error.exc_value)

    sys.unraisablehook = log
