"""Log lines: one JSON object or one console line each, made by structlog, never with a credential."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["Logger", "make_logger", "route_standard_logging"]

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
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        shared.append(structlog.dev.ConsoleRenderer(colors=target.isatty()))
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger


class _ToStructlog(logging.Handler):
    """A bridge for libraries that log through the standard library."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._logger.log(record.levelno, "library_log", **fields)


def route_standard_logging(logger: FilteringBoundLogger, *names: str, level: int = logging.WARNING) -> None:
    """Send what the named standard-library loggers say, from `level` up, through `logger`."""
    bridge = _ToStructlog(logger)
    for name in names:
        source = logging.getLogger(name)
        source.handlers[:] = [bridge]
        source.setLevel(level)
        source.propagate = False
