"""Tests that hold the declared figures, what is read, and the operators' page against each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pydantic import BaseModel

from gateway.config.models import GatewayConfig
from gateway.observe.families import FAMILIES, LIMITS, WORKER, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

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


NO_KEYS = {"max_connections_of_route", "message_rate", "login_attempts", "open_files"}
"""Values of the label `limit` that the page explains."""

LIMIT = re.compile(
    r"max_.*|.*_per_(second|address|user)|.*timeout_seconds|.*burst|.*backlog|.*(queue|buffer)_bytes"
)

NOT_COUNTED = {
    "listen.backlog": "the system's, which tells nobody",
    "listen.handshake_burst": "belongs to handshakes_per_second",
    "listen.handshake_burst_per_address": "belongs to handshakes_per_second_per_address",
    "routes.limits.message_burst": "belongs to the rate",
    "routes.limits.byte_burst": "belongs to the rate",
    "routes.limits.receive_backlog": "nothing is turned away: the gateway reads on later",
    "routes.limits.close_timeout_seconds": "cuts TCP of what has ended already",
    "broker.max_message_bytes": "an error tells who publishes",
    "broker.send_buffer_bytes": "gateway_broker_publications_lost_total",
    "broker.connect_timeout_seconds": "gateway_broker_up",
    "broker.probe_timeout_seconds": "gateway_broker_up",
    "authentication.jwt.issuers.jwks.timeout_seconds": "gateway_jwks_failures_total",
    "authentication.jwt.issuers.jwks.max_bytes": "gateway_jwks_failures_total",
    "authentication.forward.timeout_seconds": "the service fails: refusals by auth_unavailable",
    "authentication.forward.max_connections": "who is above it waits, and max_waiting counts",
    "authentication.forward.max_bytes": "the service fails: refusals by auth_unavailable",
    "authentication.forward.max_cached": "nothing is turned away: the oldest is asked for again",
    "authentication.cookie.signed.max_age_seconds": "a session has ended, as any proof does",
    "plugins.limits.max_threads": "nothing is turned away: work waits",
}
"""Limits that are not values of the label, and why."""

COUNTED_AS = {
    "routes.max_connections": "max_connections_of_route",
    "routes.limits.messages_per_second": "message_rate",
    "routes.limits.bytes_per_second": "message_rate",
}
"""Limits that have another name there."""


def limits(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Give the places of all keys that look like limits, in a model and those within."""
    for name, declared in model.model_fields.items():
        inside = set(models(declared.annotation))
        for one in inside:
            yield from limits(one, f"{place}{name}.")
        if not inside and LIMIT.fullmatch(name):
            yield place + name


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Give the models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


def test_limits_are_keys_of_the_configuration() -> None:
    """Each value of the label is a key of gateway.yaml that limits, but for those that the page explains."""
    keys = {place.rpartition(".")[2] for place in limits(GatewayConfig)}
    assert set(LIMITS) - keys == NO_KEYS
    for name in NO_KEYS:
        assert f"`{name}`" in PAGE


def test_every_limit_of_the_configuration_is_counted() -> None:
    """Whatever limits is a value of the label, by its own name or another, or there is a reason why not."""
    # A cookie may hold a JWT, with the same settings.
    places = {place.replace("cookie.jwt.", "jwt.") for place in limits(GatewayConfig)}
    assert places > {*NOT_COUNTED, *COUNTED_AS}
    counted = places - NOT_COUNTED.keys()
    assert {COUNTED_AS.get(place, place.rpartition(".")[2]) for place in counted} - set(LIMITS) == set()
    for reason in NOT_COUNTED.values():
        if reason.startswith("gateway_"):
            assert reason in FAMILIES
