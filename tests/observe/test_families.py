"""Tests that hold the declared figures, what is read, and the operators' page against each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.observe.families import FAMILIES, LIMITS, WORKER, Kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy/METRICS.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """Give the page's rows, by the figure: kind, labels, what it is, a bad value, what to do."""
    found = {}
    for line in PAGE.splitlines():
        if line.startswith("| `gateway_"):
            name, *cells = (cell.strip() for cell in line.strip("|").split(" |"))
            found[name.strip("` ")] = cells
    return found


def test_the_page_has_every_figure_and_no_other() -> None:
    """Each family has a row with its own kind and labels, a bad value and what to do."""
    found = rows()
    assert found.keys() == FAMILIES.keys()
    for name, (kind, labels, what, bad, do) in found.items():
        family = FAMILIES[name]
        assert (kind, tuple(re.findall(r"`(\w+)`", labels))) == (family.kind, family.labels), name
        assert what, name
        assert bad, name
        assert do, name


def test_the_page_names_no_figure_that_there_is_not() -> None:
    """Whatever looks like a figure anywhere on the page is one, or a part of a histogram."""
    named = set(re.findall(r"gateway_[a-z_]+[a-z]", PAGE))
    parts = {f"{name}_{part}" for name in FAMILIES for part in ("sum", "count", "bucket")}
    assert named - FAMILIES.keys() - parts == set()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_follows_the_conventions(family: Any) -> None:
    """Counters end in _total and others do not; texts are sentences; only histograms have buckets."""
    assert re.fullmatch(r"gateway_[a-z_]+", family.name)
    assert family.name.endswith("_total") is (family.kind is Kind.COUNTER)
    assert family.text[0].isupper()
    assert family.text.endswith(".")
    assert bool(family.bounds) is (family.kind is Kind.HISTOGRAM)
    assert list(family.bounds) == sorted(set(family.bounds))
    # The number of the worker goes behind the labels that a worker gives itself.
    assert WORKER not in family.labels[:-1]


async def test_every_family_is_read(serve_gateway: Any) -> None:
    """A node reads each family, with a value for each label; the supervisor alone knows who has ended."""
    text = (
        "routes: [{path: /echo, allow_missing_origin: true, groups: [all], handlers: [echo]}]\n"
        "metrics: {enabled: true}"
    )
    server = await serve_gateway(text)
    figures = server.gateway.figures.read()
    assert FAMILIES.keys() - figures.keys() == {"gateway_workers_ended_total"}
    assert figures.keys() - FAMILIES.keys() == set()
    for name, found in figures.items():
        family = FAMILIES[name]
        own = [label for label in family.labels if label != WORKER]
        for labels, value in found.items():
            assert len(labels) == len(own), name
            assert isinstance(value, list) is (family.kind is Kind.HISTOGRAM), name


def test_limits_are_keys_of_the_configuration() -> None:
    """Each limit is named as in gateway.yaml, but for the two that the page explains."""
    from gateway.config.models import ListenConfig, PluginLimits, RouteLimits  # noqa: PLC0415 - only here

    keys = {*ListenConfig.model_fields, *RouteLimits.model_fields, *PluginLimits.model_fields}
    assert set(LIMITS) - keys == {"max_connections_of_route", "message_rate"}
    assert "max_connections_of_route" in PAGE
    assert "message_rate" in PAGE
