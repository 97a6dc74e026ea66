"""Figures in the text formats of Prometheus."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway.observe.families import FAMILIES, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from gateway.observe.families import Family
    from gateway.observe.gathered import Figures

__all__ = ["expose"]


def expose(figures: Figures, accept: str) -> tuple[bytes, str]:
    """Give figures as text, and its content type.

    Args:
        figures: Of all workers.
        accept: The request's `Accept` field, which may ask for OpenMetrics; empty if there is none.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_Collector(figures)), content_type


class _Collector(Collector):
    """What the library asks for the figures of one answer."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Give every declared family, those without figures too."""
        for family in FAMILIES.values():
            yield self._family(family)

    def _family(self, family: Family) -> Metric:
        found = sorted(self._figures.get(family.name, {}).items())
        if family.kind is Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
            for labels, value in found:
                assert isinstance(value, list)  # noqa: S101 - as the family says
                *counts, total = value
                bounds = [*map(str, family.bounds), "+Inf"]
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                histogram.add_metric(labels, buckets, total)
            return histogram
        made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
        metric = made(family.name, family.text, labels=family.labels)
        for labels, value in found:
            assert not isinstance(value, list)  # noqa: S101
            metric.add_metric(labels, value)
        return metric
