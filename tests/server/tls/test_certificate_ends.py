"""Tests of what is told of certificates' ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config.certificates import Certificate
from gateway.observe.logs import make_logger
from gateway.observe.metrics import Metrics
from gateway.server.certificate_ends import CertificateEnds

DAY = 86_400
FILE = Path("a.pem")


class Clock:
    """A node's time, metrics and log; both its clocks run alike, from different beginnings."""

    def __init__(self) -> None:
        self.seconds = 1_900_000_000.0
        self.metrics = Metrics()
        self.stream = io.StringIO()
        self.log = make_logger("debug", "json", self.stream)
        self.loop = SimpleNamespace(time=lambda: self.seconds - 1_900_000_000.0)

    def now(self) -> float:
        """Give the seconds since the epoch."""
        return self.seconds

    def lines(self) -> list[tuple[Any, ...]]:
        """Give what has been logged since the last call."""
        text = self.stream.getvalue()
        self.stream.seek(self.stream.truncate(0))
        lines = [json.loads(line) for line in text.splitlines()]
        return [(line["level"], line["event"], line.get("days")) for line in lines]


@pytest.fixture
def node() -> Clock:
    """A node's clock, figures and log."""
    return Clock()


def ending(at: float, what: str = "certificate") -> Certificate:
    """Make what a certificate says that ends at a time."""
    return Certificate((), 0.0, at, what)


def test_end_comes_near(node: Clock) -> None:
    """From 14 days before its end a certificate is warned about once a day, and after it is an error."""
    ends: Any = CertificateEnds(node)  # type: ignore[arg-type]
    certificate = ending(node.seconds + 16 * DAY)
    told = []
    for _ in range(17 * 24):
        ends.note(FILE, certificate)
        told += node.lines()
        node.seconds += DAY / 24
    near = [("warning", "certificate_ends_soon", days) for days in range(13, -1, -1)]
    assert told == [*near, ("error", "certificate_ended", None)]
    assert node.metrics.certificate_expires_at == {"a.pem": certificate.ends_at}


def test_start_near_the_end(node: Clock) -> None:
    """A node that starts with such a certificate says so at once, and what of the chain it is that ends."""
    ends: Any = CertificateEnds(node)  # type: ignore[arg-type]
    ends.note(FILE, ending(node.seconds + 3 * DAY + 1, "intermediate certificate 'CN=x'"))
    (line,) = [json.loads(line) for line in node.stream.getvalue().splitlines()]
    assert (line["certificate"], line["what"], line["days"]) == (
        "a.pem",
        "intermediate certificate 'CN=x'",
        3,
    )
    assert line["ends"] == "2030-03-20T17:46:41Z"


def test_end_is_told_when_it_comes(node: Clock) -> None:
    """The end itself does not wait until a day has passed since the last warning."""
    ends: Any = CertificateEnds(node)  # type: ignore[arg-type]
    certificate = ending(node.seconds + 60)
    ends.note(FILE, certificate)
    node.seconds += 60
    ends.note(FILE, certificate)
    assert [event for _, event, _ in node.lines()] == ["certificate_ends_soon", "certificate_ended"]


def test_renewed_certificate_that_ends_soon_too(node: Clock) -> None:
    """Another certificate is warned about at once, the same one not."""
    ends: Any = CertificateEnds(node)  # type: ignore[arg-type]
    for after, lines in ((DAY, 1), (DAY, 0), (2 * DAY, 1), (100 * DAY, 0)):
        ends.note(FILE, ending(1_900_000_000.0 + after))
        assert len(node.lines()) == lines
