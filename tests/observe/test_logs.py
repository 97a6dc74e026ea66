"""Tests of log lines: their forms, their levels, and where they go."""

from __future__ import annotations

import io
import json
import logging
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.observe.logs import (
    make_logger,
    route_standard_logging,
    route_uncatchable,
    set_standard_levels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Give the log, one mapping a line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


SECRET = "tok-" + "secret"


def fail() -> None:
    """Fail with a credential in a local variable."""
    copy = SECRET
    raise RuntimeError(f"failed after {len(copy)} characters")


@pytest.fixture
def standard() -> Iterator[logging.Logger]:
    """A logger of the standard library, put back afterwards."""
    logger = logging.getLogger("some.library")
    yield logger
    logger.handlers[:] = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


class TestJson:
    """The form for machines."""

    def test_a_line_is_one_object_with_event_level_and_timestamp(self) -> None:
        """Each line begins with when, how severe and what; the fields follow."""
        stream = io.StringIO()
        make_logger(stream=stream).info("started", port=8000, path="/世界")
        (line,) = lines(stream)
        assert list(line) == ["timestamp", "level", "event", "logger", "port", "path"]
        assert (line["level"], line["event"], line["port"], line["path"]) == (
            "info",
            "started",
            8000,
            "/世界",
        )
        when = datetime.fromisoformat(line["timestamp"])
        assert when.utcoffset() == timedelta(0)

    def test_line_breaks_in_a_field_do_not_break_the_line(self) -> None:
        """What a client sent cannot begin a line of its own."""
        stream = io.StringIO()
        make_logger(stream=stream).info("refused", detail='a\nb\r\n{"event": "forged"}\x85\u2028')
        assert stream.getvalue().count("\n") == 1
        assert json.loads(stream.getvalue())["detail"].startswith("a\nb")

    def test_an_exception_becomes_a_field(self) -> None:
        """A traceback stands in the line, without the local variables."""
        stream = io.StringIO()
        try:
            fail()
        except RuntimeError as exc:
            make_logger(stream=stream).error("failed", exc_info=exc)
        (line,) = lines(stream)
        assert "RuntimeError: failed after 10 characters" in line["exception"]
        assert "in fail" in line["exception"]
        assert SECRET not in stream.getvalue()

    def test_a_value_that_json_does_not_know_is_shown(self) -> None:
        """A field of any type makes a line, not an error."""
        stream = io.StringIO()
        make_logger(stream=stream).info("odd", value={1, 2}, path=Path("a"))
        assert lines(stream)[0]["event"] == "odd"

    def test_a_lone_surrogate_is_escaped(self) -> None:
        """A text that UTF-8 cannot carry still makes a line, whatever the stream."""
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="strict")
        make_logger(stream=stream).info("odd", path="a\udcff")
        assert json.loads(raw.getvalue())["path"] == "a\udcff"


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(level: Any, written: list[str]) -> None:
    """The level is the least severe one that is written."""
    stream = io.StringIO()
    log = make_logger(level, stream=stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")
    assert [line["level"] for line in lines(stream)] == written


class TestLevels:
    """Levels of single loggers."""

    def test_a_logger_has_its_own_level(self) -> None:
        """It is that of its name, or of the nearest name above it; all others have the common one."""
        stream = io.StringIO()
        levels = {
            "gateway.connections": "warning",
            "gateway.broker": "debug",
            "lib": "error",
            "lib.a": "info",
        }
        log = make_logger("info", stream=stream, levels=levels)
        names = (
            "gateway",
            "gateway.connections",
            "gateway.broker",
            "gateway.broker.x",
            "lib.b",
            "lib.a.c",
            "libx",
        )
        for name in names:
            for level in ("debug", "info", "warning", "error"):
                getattr(log.bind(logger=name), level)("event")
        least: dict[str, str] = {}
        for line in lines(stream):
            least.setdefault(line["logger"], line["level"])
        assert least == {
            "gateway": "info",
            "gateway.connections": "warning",
            "gateway.broker": "debug",
            "gateway.broker.x": "debug",
            "lib.b": "error",
            "lib.a.c": "info",
            "libx": "info",
        }

    def test_a_line_without_a_logger_is_the_gateways(self) -> None:
        """What names no logger has the name `gateway`, and its level."""
        stream = io.StringIO()
        log = make_logger("debug", stream=stream, levels={"gateway": "error"})
        log.info("quiet")
        log.error("loud")
        assert [(line["logger"], line["event"]) for line in lines(stream)] == [("gateway", "loud")]

    def test_libraries_say_more_if_they_are_asked(self, standard: logging.Logger) -> None:
        """A library's own level is lowered with the log's; the gateway's names are no such loggers."""
        stream = io.StringIO()
        levels = {standard.name: "debug", "gateway.broker": "debug"}
        route_standard_logging(make_logger(stream=stream, levels=levels), standard.name)
        standard.debug("quiet")
        set_standard_levels(levels)
        standard.debug("loud")
        assert [line["message"] for line in lines(stream)] == ["loud"]
        assert logging.getLogger("gateway.broker").level == logging.NOTSET


class TestConsole:
    """The form for people."""

    def test_a_line_is_plain_text(self) -> None:
        """A line has the same parts, without JSON, and without colours where there is no terminal."""
        stream = io.StringIO()
        make_logger(form="console", stream=stream).warning("stopped", node="n1")
        text = stream.getvalue()
        assert "stopped" in text
        assert "warning" in text
        assert "node=n1" in text
        assert "\x1b" not in text
        assert not text.startswith("{")

    def test_a_traceback_shows_no_local_variables(self) -> None:
        """A credential in a variable is not shown to who looks over the operator's shoulder."""
        stream = io.StringIO()
        try:
            fail()
        except RuntimeError as exc:
            make_logger(form="console", stream=stream).error("failed", exc_info=exc)
        assert "RuntimeError: failed after 10 characters" in stream.getvalue()
        assert SECRET not in stream.getvalue()


class TestStreams:
    """Where lines go."""

    def test_standard_error_is_the_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a stream, lines go to standard error, beside what commands print."""
        make_logger().info("started")
        captured = capsys.readouterr()
        assert captured.out == ""
        assert json.loads(captured.err)["event"] == "started"

    def test_a_full_disk_loses_the_line_and_nothing_else(self) -> None:
        """A line that cannot be written is no error of whatever was being logged about."""
        full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closing it fails, too
        make_logger(stream=full).info("started")
        with pytest.raises(OSError, match="No space left"):
            full.close()

    def test_a_closed_stream_loses_the_line_and_nothing_else(self) -> None:
        """Logging goes on when its stream has been closed."""
        stream = io.StringIO()
        stream.close()
        make_logger(stream=stream).info("started")


class TestStandardLogging:
    """Libraries that log through the standard library."""

    def test_a_record_becomes_a_line(self, standard: logging.Logger) -> None:
        """A library's line has its logger's name and its message."""
        stream = io.StringIO()
        route_standard_logging(make_logger(stream=stream), standard.name)
        standard.warning("port %d is taken", 80)
        (line,) = lines(stream)
        del line["timestamp"]
        expected = {"level": "warning", "event": "library_log", "logger": standard.name}
        assert line == expected | {"message": "port 80 is taken"}

    def test_less_severe_records_are_left_out(self, standard: logging.Logger) -> None:
        """From `level` up, records are passed on."""
        stream = io.StringIO()
        log = make_logger("debug", stream=stream)
        route_standard_logging(log, standard.name)
        standard.info("quiet")
        route_standard_logging(log, standard.name, level=logging.DEBUG)
        standard.debug("loud")
        assert [line["message"] for line in lines(stream)] == ["loud"]

    def test_a_traceback_comes_along(self, standard: logging.Logger) -> None:
        """A library's exception stands in the line."""
        stream = io.StringIO()
        route_standard_logging(make_logger(stream=stream), standard.name)
        try:
            fail()
        except RuntimeError:
            standard.exception("it broke")
        (line,) = lines(stream)
        assert (line["level"], line["message"]) == ("error", "it broke")
        assert "RuntimeError: failed after 10 characters" in line["exception"]

    @pytest.mark.parametrize(
        ("number", "level"), [(35, "warning"), (25, "info"), (logging.CRITICAL, "error"), (1, "debug")]
    )
    def test_a_level_without_a_name_of_ours_is_rounded_down(
        self, standard: logging.Logger, number: int, level: str
    ) -> None:
        """A library's own level becomes the next lower one that the gateway has."""
        stream = io.StringIO()
        route_standard_logging(make_logger("debug", stream=stream), standard.name, level=1)
        standard.log(number, "odd")
        assert [line["level"] for line in lines(stream)] == [level]

    def test_arguments_that_do_not_fit_are_no_error(self, standard: logging.Logger) -> None:
        """A library's mistake in a log call costs nothing but the arguments."""
        stream = io.StringIO()
        route_standard_logging(make_logger(stream=stream), standard.name)
        standard.warning("one %s two %s", "only")
        assert [line["message"] for line in lines(stream)] == ["one %s two %s"]

    def test_the_root_stands_for_all_that_are_not_named(self, standard: logging.Logger) -> None:
        """A plugin's own logger reaches the log through the root."""
        root = logging.getLogger()
        before = (root.handlers[:], root.level)
        stream = io.StringIO()
        try:
            route_standard_logging(make_logger(stream=stream), "", level=logging.INFO)
            standard.info("from a plugin")
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])
        assert [line["message"] for line in lines(stream)] == ["from a plugin"]


def test_an_error_that_nothing_can_catch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a callback of a C library is a log line, without the object at fault."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    stream = io.StringIO()
    route_uncatchable(make_logger(stream=stream))

    class Fault:
        def __repr__(self) -> str:
            return SECRET

        def __del__(self) -> None:
            raise RuntimeError("failed at its end")

    Fault()
    (line,) = lines(stream)
    assert (line["level"], line["event"]) == ("warning", "error_ignored")
    assert "RuntimeError: failed at its end" in line["exception"]
    assert SECRET not in stream.getvalue()
