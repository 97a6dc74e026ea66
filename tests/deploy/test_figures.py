"""Tests of what reads the gateway's figures: Prometheus's rules and Grafana's dashboard."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, ParenExpr, VectorSelector
from shipped import DEPLOY, document

from gateway.observe.families import FAMILIES, Family, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TESTS = DEPLOY.parent / "tests" / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
OF_PROMETHEUS = frozenset({"instance", "job"})  # labels that it puts on every figure
SUFFIXES = {Kind.COUNTER: ("",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
SERIES = {family.name + suffix: family for family in FAMILIES.values() for suffix in SUFFIXES[family.kind]}
OVER_TIME = frozenset({"rate", "increase", "irate"})
FILLED_IN = {"$__rate_interval": "5m", "$instance": ".*", "${datasource}": "prometheus"}


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Give the panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def filled_in(query: str) -> str:
    """Give a query as Grafana sends it."""
    for name, value in FILLED_IN.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def queries() -> list[str]:
    """Give every query of the dashboard, with its variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [note["expr"] for note in dashboard()["annotations"]["list"]]
    return [filled_in(query) for query in asked]


def rules() -> list[dict[str, Any]]:
    """Give every rule of Prometheus."""
    return [rule for group in document("prometheus/rules.yaml")["groups"] for rule in group["rules"]]


def selectors(expression: Any, within: str | None = None) -> Iterator[tuple[VectorSelector, str | None]]:
    """Give each selection of series, with the function that is given its past, if one is."""
    if isinstance(expression, VectorSelector):
        yield expression, within
    elif isinstance(expression, MatrixSelector):
        yield expression.vector_selector, within
    elif isinstance(expression, Call):
        for argument in expression.args:
            yield from selectors(argument, expression.func.name)
    elif isinstance(expression, AggregateExpr | ParenExpr):
        yield from selectors(expression.expr)
    elif isinstance(expression, BinaryExpr):
        yield from selectors(expression.lhs)
        yield from selectors(expression.rhs)


def labels_of(family: Family | None) -> frozenset[str]:
    """Give the labels that a figure has in Prometheus."""
    return OF_PROMETHEUS | ({*family.labels} if family else set())


def labels_asked(expression: Any) -> Iterator[str]:
    """Give each label that an aggregation keeps."""
    found: list[str] = []

    def look(node: Any) -> None:
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            found.extend(node.modifier.labels)

    promql_parser.walk(expression, look)
    yield from found


@pytest.mark.parametrize("query", [*queries(), *(rule["expr"] for rule in rules())])
def test_every_query_asks_for_what_there_is(query: str) -> None:
    """Each figure is declared, has the labels asked for, and is read in the way of its kind."""
    parsed = promql_parser.parse(query)
    known: set[str] = {"le"}
    found = list(selectors(parsed))
    assert found
    for selector, function in found:
        assert selector.name == "up" or selector.name in SERIES, selector.name
        family = SERIES.get(selector.name)
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= labels_of(family), selector.name
        grows = family is not None and family.kind is not Kind.GAUGE
        assert (function in OVER_TIME) == grows, f"{selector.name} in {function}"
        known |= labels_of(family)
    assert set(labels_asked(parsed)) <= known


def test_every_figure_is_on_the_dashboard() -> None:
    """No figure is declared that nobody sees there."""
    shown = {
        SERIES[one.name].name
        for query in queries()
        for one, _ in selectors(promql_parser.parse(query))
        if one.name in SERIES
    }
    assert FAMILIES.keys() - shown == set()


def test_panels_have_their_places() -> None:
    """Ids are single, no panel lies over another, and all ask the source that is chosen above."""
    found = dashboard()["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    for panel in panels():
        sources = {filled_in(one["datasource"]["uid"]) for one in [panel, *panel["targets"]]}
        assert sources == {
            document("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]["uid"]
        }


def test_legends_name_labels_that_are_left() -> None:
    """A legend's label is one that its query's result has."""
    for panel in panels():
        for target in panel["targets"]:
            parsed = promql_parser.parse(filled_in(target["expr"]))
            asked = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = set(labels_asked(parsed))
            if "by (" not in target["expr"] and "sum" not in target["expr"]:
                kept = set().union(*(labels_of(SERIES.get(one.name)) for one, _ in selectors(parsed)))
            assert asked <= kept, (panel["title"], target["expr"])


@pytest.mark.tools
def test_promtool_takes_every_query(judge: Callable[..., str], tmp_path: Path) -> None:
    """Prometheus's own parser takes each query of the dashboard."""
    records = [{"record": f"query_{index}", "expr": query} for index, query in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}), encoding="utf-8")
    assert f"{len(records)} rules found" in judge("promtool", "prometheus", "check", "rules", file)


@pytest.mark.tools
def test_promtool_takes_the_configuration_and_the_rules(judge: Callable[..., str]) -> None:
    """Prometheus's own check has nothing to say."""
    said = judge("promtool", "prometheus", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
    assert f"{len(rules())} rules found" in said


@pytest.mark.tools
def test_rules_fire_at_what_is_wrong_and_at_nothing_else(judge: Callable[..., str]) -> None:
    """Each rule fires on the series that break it, and none on those of a gateway that is well."""
    file = TESTS / "rules.test.yaml"
    judge("promtool", "prometheus", "test", "rules", file)
    tried = set(re.findall(r'alertname="(\w+)"', file.read_text("utf-8")))
    assert tried == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_rules_say_what_to_do(rule: dict[str, Any]) -> None:
    """Each has one of two severities, a summary, and what to do."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "action"}
