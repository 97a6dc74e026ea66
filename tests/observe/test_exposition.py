"""Tests of the text of the figures, read by the parsers of the library."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from gateway.observe.exposition import expose
from gateway.observe.families import FAMILIES, LAG_SECONDS, Kind

FIGURES = {
    "gateway_messages_total": {("in",): 3, ("out",): 5},
    "gateway_connections": {('odd "route"\n\\',): 2},
    "gateway_loop_lag_seconds": {(): [4, 0, 1, *[0] * (len(LAG_SECONDS) - 3), 2, 7.5]},
}


def test_every_family_is_given_with_type_and_help() -> None:
    """Families without a figure are there too, in the order of their declaration."""
    text, content_type = expose({}, "")
    assert content_type.startswith("text/plain; version=0.0.4")
    lines = text.decode().splitlines()
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == list(FAMILIES)
    assert [line.split()[2:] for line in lines if line.startswith("# TYPE")] == [
        [family.name, family.kind.value] for family in FAMILIES.values()
    ]


def test_figures_are_read_back() -> None:
    """Values and labels come back as they were, in both formats, with odd characters too."""
    for accept, parser in (("", parse), ("application/openmetrics-text; version=1.0.0", parse_open)):
        text, content_type = expose(FIGURES, accept)
        assert ("openmetrics" in content_type) is bool(accept)
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in parser(text.decode())
            for sample in family.samples
        }
        assert samples["gateway_messages_total", "in"] == 3
        assert samples["gateway_messages_total", "out"] == 5
        assert samples["gateway_connections", 'odd "route"\n\\'] == 2
        assert samples["gateway_loop_lag_seconds_sum",] == 7.5
        assert samples["gateway_loop_lag_seconds_count",] == 7
        assert samples["gateway_loop_lag_seconds_bucket", "0.001"] == 4
        assert samples["gateway_loop_lag_seconds_bucket", "0.005"] == 5
        assert samples["gateway_loop_lag_seconds_bucket", "10.0"] == 5
        assert samples["gateway_loop_lag_seconds_bucket", "+Inf"] == 7


def test_there_are_all_three_kinds() -> None:
    """The declarations hold a counter, a gauge and a histogram: each way of writing is in use."""
    assert {family.kind for family in FAMILIES.values()} == set(Kind)
