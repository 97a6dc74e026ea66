"""Tests of selections: what fits, and what a claim has to be."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

import gateway
from gateway import Identity, Selection
from gateway.core.selection import has_claims

CLAIMS = MappingProxyType({"role": "admin", "teams": ["red", "blue"], "level": 1, "staff": True})


def connection(**differences: Any) -> Any:
    """Give a connection of ada's on the route `chat`, or one that differs in some way."""
    usual = {"id": "c-1", "route": "chat", "groups": ("news", "room:1"), "identity": Identity("ada", CLAIMS)}
    return SimpleNamespace(**usual | differences)


def test_it_is_public() -> None:
    """Handlers find the class beside `Node`, whose argument it is."""
    assert "Selection" in gateway.__all__


def test_nothing_asked_fits_everything() -> None:
    """What is not given does not count: a selection of nothing in particular is of all."""
    assert Selection().fits(connection())
    assert Selection().fits(connection(identity=None, groups=()))


@pytest.mark.parametrize(
    ("fitting", "other"),
    [
        ({"user": "ada"}, {"user": "bob"}),
        ({"connection": "c-1"}, {"connection": "c-2"}),
        ({"route": "chat"}, {"route": "live"}),
        ({"group": "news"}, {"group": "room:2"}),
        ({"claims": {"role": "admin"}}, {"claims": {"role": "guest"}}),
    ],
    ids=["user", "connection", "route", "group", "claim"],
)
def test_every_part_has_to_fit(fitting: dict[str, Any], other: dict[str, Any]) -> None:
    """Each part alone decides, and with the others it still does."""
    whole = {
        "user": "ada",
        "connection": "c-1",
        "route": "chat",
        "group": "room:1",
        "claims": {"staff": True},
    }
    assert Selection(**fitting).fits(connection())
    assert not Selection(**other).fits(connection())
    assert Selection(**whole | fitting).fits(connection())
    assert not Selection(**whole | other).fits(connection())


@pytest.mark.parametrize("part", [{"user": "ada"}, {"claims": {"role": "admin"}}])
def test_without_an_identity_there_is_no_user_and_no_claim(part: dict[str, Any]) -> None:
    """Who has proved nothing is not among those with a user or a claim."""
    assert not Selection(**part).fits(connection(identity=None))


def test_empty_claims_ask_for_none() -> None:
    """An empty mapping of claims is no condition, so that everybody fits, with an identity or without."""
    assert Selection(claims={}).fits(connection(identity=None))


@pytest.mark.parametrize(
    ("wanted", "fit"),
    [
        ({"role": "admin"}, True),
        ({"role": "Admin"}, False),
        ({"role": "adm"}, False),
        ({"roles": "admin"}, False),
        ({"role": None}, False),
        ({"role": ["admin"]}, False),
        ({"teams": "blue"}, True),
        ({"teams": "green"}, False),
        ({"teams": ["red", "blue"]}, True),
        ({"teams": ("red", "blue")}, True),
        ({"teams": ["blue", "red"]}, False),
        ({"teams": ["red"]}, False),
        ({"level": 1}, True),
        ({"level": 1.0}, True),
        ({"level": True}, False),
        ({"level": "1"}, False),
        ({"staff": True}, True),
        ({"staff": 1}, False),
        ({"staff": "true"}, False),
        ({"role": "admin", "teams": "red", "level": 1}, True),
        ({"role": "admin", "teams": "green"}, False),
        ({}, True),
    ],
)
def test_claims_are_compared_as_json(wanted: dict[str, Any], fit: bool) -> None:
    """A claim is the same JSON as the wanted value, or a list that holds it; `true` is no number."""
    assert has_claims(CLAIMS, wanted) is fit


def test_claims_within_claims() -> None:
    """Of a mapping within the claims that counts which is named, at any depth; the rest is like JSON."""
    claims = {
        "org": {"id": 1, "flags": [True, {"a": None}], "in": {"x": 1, "y": 2}},
        "none": None,
        "lists": [[1], [2, 3]],
        "roles": [{"name": "dev"}, {"name": "ops", "level": 3}],
    }
    assert has_claims(claims, {"org": MappingProxyType({"flags": (True, {"a": None}), "id": 1})})
    assert has_claims(claims, {"none": None})
    assert not has_claims(claims, {"org": {"id": True, "flags": [True, {"a": None}]}})
    assert not has_claims(claims, {"org": {"id": 1, "flags": [1, {"a": None}]}})
    assert has_claims(claims, {"org": {"id": 1}})
    assert has_claims(claims, {"org": {"flags": True, "in": {"y": 2}}})
    assert has_claims(claims, {"org": {}})
    assert not has_claims(claims, {"none": {}})
    assert not has_claims(claims, {"org": {"in": {"y": 2, "z": 3}}})
    assert has_claims(claims, {"roles": {"name": "ops"}})
    assert not has_claims(claims, {"roles": {"name": "dev", "level": 3}})
    assert not has_claims(claims, {"lists": [2, 3]})
    assert not has_claims(claims, {"lists": 2})
