"""Log lines: one JSON object or one console line each, made by structlog, never with a credential."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor

__all__ = [
    "Logger",
    "clock_time",
    "make_logger",
    "route_standard_logging",
    "route_uncatchable",
    "set_standard_levels",
]

Logger = structlog.typing.FilteringBoundLogger

_OURS: Final = "gateway"
_NO_LEVELS: Final[Mapping[str, str]] = MappingProxyType({})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def make_logger(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
    levels: Mapping[str, str] = _NO_LEVELS,
    *,
    local: bool = False,
) -> FilteringBoundLogger:
    """Make the logger of a process.

    Args:
        level: The least severe level that is written.
        form: `json` for one object a line, `console` for people.
        stream: Where lines go; `None` for standard error.
        levels: Levels of single loggers, by the name that a line has for `logger`, or one above it.
        local: Whether lines have the time of the day where this runs, for who looks at them now; otherwise
            date and time in UTC (ISO 8601).
    """
    target = stream if stream is not None else sys.stderr
    each = {name: _LEVELS[word] for name, word in levels.items()}
    shared: list[Processor] = [
        _Levels(_LEVELS[level], each),
        structlog.processors.add_log_level,
        _stamp_local if local else structlog.processors.TimeStamper(fmt="iso", utc=True),
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
        wrapper_class=structlog.make_filtering_bound_logger(min((_LEVELS[level], *each.values()))),
        cache_logger_on_first_use=True,
    )
    return logger


def clock_time() -> str:
    """Give the time of the day where this runs, to the millisecond."""
    now = time.time()
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03}"


def _stamp_local(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = clock_time()
    return event


class _Levels:
    """What lets each logger's lines pass from its own level up, and names the logger of those without a name.

    Args:
        level: The level of all that are not named.
        levels: The others, by name.
    """

    def __init__(self, level: int, levels: Mapping[str, int]) -> None:
        self._level = level
        self._levels = levels

    def __call__(self, _: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        name = event.setdefault("logger", _OURS)
        if self._levels and _LEVELS.get(method, logging.ERROR) < self._least(name):
            raise structlog.DropEvent
        return event

    def _least(self, name: str) -> int:
        while name:
            if name in self._levels:
                return self._levels[name]
            name = name.rpartition(".")[0]
        return self._level


def set_standard_levels(levels: Mapping[str, str]) -> None:
    """Have the loggers of plugins and libraries say as much as `levels` lets pass.

    Args:
        levels: By the loggers' names; the gateway's own are passed over.
    """
    for name, word in levels.items():
        if name != _OURS and not name.startswith(f"{_OURS}."):
            logging.getLogger(name).setLevel(_LEVELS[word])


def _put_first(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Begin each line with what a reader looks for first."""
    return {name: event.pop(name) for name in ("timestamp", "level", "event", "logger")} | dict(event)


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
